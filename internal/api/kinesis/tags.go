package kinesis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// maxTags is how many tags a resource may have (AWS's documentation of AddTagsToStream and TagResource).
const maxTags = 50

// defaultTags is how many tags ListTagsForStream returns unless it is told. A stream has no more.
const defaultTags = maxTags

// Tag is AWS's shape of that name.
type Tag struct {
	Key   string
	Value *string
}

// AddTagsToStreamInput is AWS's shape of that name.
type AddTagsToStreamInput struct {
	StreamName *string
	StreamARN  *string
	StreamId   *string
	Tags       map[string]string
}

// RemoveTagsFromStreamInput is AWS's shape of that name.
type RemoveTagsFromStreamInput struct {
	StreamName *string
	StreamARN  *string
	StreamId   *string
	TagKeys    []string
}

// ListTagsForStreamInput is AWS's shape of that name.
type ListTagsForStreamInput struct {
	StreamName           *string
	StreamARN            *string
	StreamId             *string
	ExclusiveStartTagKey *string
	Limit                *int32
}

// ListTagsForStreamOutput is AWS's shape of that name.
type ListTagsForStreamOutput struct {
	Tags        []Tag
	HasMoreTags bool
}

// TagResourceInput is AWS's shape of that name.
type TagResourceInput struct {
	ResourceARN *string
	StreamId    *string
	Tags        map[string]string
}

// UntagResourceInput is AWS's shape of that name.
type UntagResourceInput struct {
	ResourceARN *string
	StreamId    *string
	TagKeys     []string
}

// ListTagsForResourceInput is AWS's shape of that name.
type ListTagsForResourceInput struct {
	ResourceARN *string
	StreamId    *string
}

// ListTagsForResourceOutput is AWS's shape of that name.
type ListTagsForResourceOutput struct {
	Tags []Tag
}

func (a *api) addTagsToStream(ctx context.Context, c wire.Caller, in *AddTagsToStreamInput, _ *wire.Nothing) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return a.tagStream(ctx, name, in.Tags)
}

func (a *api) removeTagsFromStream(ctx context.Context, c wire.Caller, in *RemoveTagsFromStreamInput, _ *wire.Nothing) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return a.untagStream(ctx, name, in.TagKeys)
}

func (a *api) listTagsForStream(_ context.Context, c wire.Caller, in *ListTagsForStreamInput, out *ListTagsForStreamOutput) error {
	d, err := a.describe(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	tags := sortedTags(d.Tags)
	for in.ExclusiveStartTagKey != nil && len(tags) > 0 && tags[0].Key <= *in.ExclusiveStartTagKey {
		tags = tags[1:]
	}
	limit := defaultTags
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	out.HasMoreTags = len(tags) > limit
	out.Tags = tags[:min(len(tags), limit)]
	return nil
}

func (a *api) tagResource(ctx context.Context, c wire.Caller, in *TagResourceInput, _ *wire.Nothing) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	if r.consumer == "" {
		return a.tagStream(ctx, r.stream, in.Tags)
	}
	return a.setConsumerTags(ctx, c, r, func(tags map[string]string) (map[string]string, error) {
		return addTags(r.stream, tags, in.Tags)
	})
}

func (a *api) untagResource(ctx context.Context, c wire.Caller, in *UntagResourceInput, _ *wire.Nothing) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	if r.consumer == "" {
		return a.untagStream(ctx, r.stream, in.TagKeys)
	}
	return a.setConsumerTags(ctx, c, r, func(tags map[string]string) (map[string]string, error) {
		return removeTags(r.stream, tags, in.TagKeys)
	})
}

func (a *api) setConsumerTags(ctx context.Context, c wire.Caller, r resource, change func(map[string]string) (map[string]string, error)) error {
	consumer, err := a.consumerOf(c, r)
	if err != nil {
		return err
	}
	_, err = a.consumers.SetTags(ctx, consumer, change)
	return consumerFault(err, r.stream, r.consumer)
}

func (a *api) listTagsForResource(_ context.Context, c wire.Caller, in *ListTagsForResourceInput, out *ListTagsForResourceOutput) error {
	r, err := parseResource(c, *in.ResourceARN)
	if err != nil {
		return err
	}
	if r.consumer != "" {
		consumer, err := a.consumerOf(c, r)
		out.Tags = sortedTags(consumer.Tags)
		return err
	}
	d, err := a.streams.Describe(r.stream)
	out.Tags = sortedTags(d.Tags)
	return fault(err, r.stream, "")
}

func (a *api) tagStream(ctx context.Context, name stream.Name, tags map[string]string) error {
	return fault(a.streams.Amend(ctx, name, func(s *stream.Settings) error {
		merged, err := addTags(name, s.Tags, tags)
		s.Tags = merged
		return err
	}), name, "")
}

func (a *api) untagStream(ctx context.Context, name stream.Name, keys []string) error {
	return fault(a.streams.Amend(ctx, name, func(s *stream.Settings) (err error) {
		s.Tags, err = removeTags(name, s.Tags, keys)
		return err
	}), name, "")
}

// removeTags are the tags that a resource of the named stream has, without some.
func removeTags(name stream.Name, tags map[string]string, keys []string) (map[string]string, error) {
	if err := checkTagTexts(name, "remove", "from", slices.Values(keys)); err != nil {
		return nil, err
	}
	left := maps.Clone(tags)
	for _, key := range keys {
		delete(left, key)
	}
	return left, nil
}

// addTags are the tags that a resource of the named stream has, and some more.
func addTags(name stream.Name, tags, more map[string]string) (map[string]string, error) {
	if err := checkTagTexts(name, "add", "to", maps.Keys(more)); err != nil {
		return nil, err
	}
	if err := checkTagTexts(name, "add", "to", maps.Values(more)); err != nil {
		return nil, err
	}
	for key := range more {
		if len(key) >= len(reservedTags) && strings.EqualFold(key[:len(reservedTags)], reservedTags) {
			return nil, wire.Faultf(invalidArgument, "Failed to add tags to stream %s under account %s because tag keys "+
				"that begin with aws: are reserved.", name.Name, name.Account)
		}
	}
	merged := maps.Clone(tags)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, more)
	if len(merged) > maxTags {
		return nil, wire.Faultf(invalidArgument, "Failed to add tags to stream %s under account %s because a given stream "+
			"cannot have more than %d tags associated with it.", name.Name, name.Account, maxTags)
	}
	return merged, nil
}

// reservedTags is what the keys of AWS's own tags begin with.
const reservedTags = "aws:"

// checkTagTexts checks the characters of keys or values of tags. AWS does so twice, and knows % the first time only.
func checkTagTexts(name stream.Name, verb, preposition string, texts func(func(string) bool)) error {
	percent := false
	for text := range texts {
		if strings.ContainsFunc(text, notInTag) {
			return wire.Faultf(invalidArgument, "Some tags contain invalid characters. Valid characters: "+
				"Unicode letters, digits, white space, _ . / = + - %% @ :.")
		}
		percent = percent || strings.Contains(text, "%")
	}
	if percent {
		return wire.Faultf(invalidArgument, "Failed to %s tags %s stream %s under account %s because some tags contained "+
			"illegal characters. The allowed characters are Unicode letters, white-spaces, '_',',','/','=','+','-','@',':'.",
			verb, preposition, name.Name, name.Account)
	}
	return nil
}

func notInTag(c rune) bool {
	return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.Is(unicode.Zs, c) && !strings.ContainsRune("_./=+-%@:", c)
}

// sortedTags are tags by their keys, never nil.
func sortedTags(tags map[string]string) []Tag {
	sorted := make([]Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		sorted = append(sorted, Tag{key, &value})
	}
	return sorted
}
