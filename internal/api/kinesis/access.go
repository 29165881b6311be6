package kinesis

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/policy"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// Whose streams a request may use:
//
//  1. Those of its own account, whatever their policies say: here an account has no users whom it could keep out.
//  2. Those of another account that it names by ARN, if the resource's policy allows it and no statement denies it; of
//     a consumer that is named by its stream, if the stream's policy allows it and neither denies it.
//  3. It learns nothing of others, not even whether they are there.
//
// resolve and parseResource find resources of the caller's own account only, unless authorize has let the request pass:
// an operation that forgets to ask finds nothing.

// ownersOnly are the operations that no policy can leave to others.
var ownersOnly = []string{"PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy"}

// shared are the operations that a policy can be about.
var shared = func() (operations []string) {
	for operation := range inputRules {
		if !slices.Contains(ownersOnly, operation) {
			operations = append(operations, operation)
		}
	}
	return operations
}()

// authorize lets the caller pass to the resource with the ARN. It returns the caller, who then acts for its owner.
func (a *api) authorize(c wire.Caller, operation string, resourceARN *string) (wire.Caller, error) {
	if resourceARN == nil || !c.Verified || strings.Contains(*resourceARN, ":"+c.Account+":") {
		return c, nil
	}
	r, ok := splitResource(*resourceARN)
	if !ok || r.stream.Account == c.Account {
		return c, nil // it is of no use to the caller
	}
	switch a.effect(c, operation, r) {
	case policy.Allowed:
		c.Owner = r.stream.Account
		return c, nil
	case policy.Denied:
		return c, denied(c, operation, r)
	}
	return c, wire.Faultf(accessDenied, notAuthorized+"because no resource-based policy allows the kinesis:%s action",
		c.Account, operation, clip(r.arn), operation)
}

// undenied refuses what a consumer's own policy denies to a caller who has named it by its stream's ARN and its name: it
// was the stream's policy that has let him pass.
func (a *api) undenied(c wire.Caller, operation string, consumer *fanout.Consumer) error {
	r := resource{arn: consumerARN(consumer), stream: consumer.Stream, consumer: consumer.Name}
	if ownerOf(c) != c.Account && a.effect(c, operation, r) == policy.Denied {
		return denied(c, operation, r)
	}
	return nil
}

// effect is what the policy of a resource says of an operation.
func (a *api) effect(c wire.Caller, operation string, r resource) policy.Effect {
	p := a.policyOf(r)
	if p == nil || slices.Contains(ownersOnly, operation) {
		return policy.Silent
	}
	return p.Evaluate(&policy.Request{
		Account: c.Account, Action: "kinesis:" + operation, Resource: r.arn, Region: c.Region,
		Address: addressOf(c), Secure: c.Secure, Time: a.now(),
	})
}

const notAuthorized = "User: arn:aws:iam::%s:root is not authorized to perform: kinesis:%s on resource: %s "

func denied(c wire.Caller, operation string, r resource) error {
	return wire.Faultf(accessDenied, notAuthorized+"with an explicit deny in a resource-based policy", c.Account, operation, clip(r.arn))
}

// ownerOf is whose resources a caller finds.
func ownerOf(c wire.Caller) string {
	if c.Owner != "" {
		return c.Owner
	}
	return c.Account
}

// addressOf is the caller's address without the port; "" if it has none.
func addressOf(c wire.Caller) string {
	address, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return ""
	}
	return address.Addr().Unmap().String()
}

// policyOf is the policy of a resource, nil if it has none, or is not there.
func (a *api) policyOf(r resource) *policy.Policy {
	text, err := a.policyText(r)
	if err != nil || text == "" {
		return nil
	}
	return a.policies.parsed(r.arn, text)
}

// policyText is the policy of a resource as it was put, "" without one.
func (a *api) policyText(r resource) (string, error) {
	if r.consumer != "" {
		owner := wire.Caller{Account: r.stream.Account, Region: r.stream.Region}
		consumer, err := a.consumerOf(owner, r)
		return consumer.Policy, err
	}
	d, err := a.streams.Describe(r.stream)
	return d.Policy, fault(err, r.stream, "")
}

// policyCache has policies that were read, by the ARN of their resource.
type policyCache struct {
	mu    sync.Mutex // guards cache
	cache map[string]cachedPolicy
}

type cachedPolicy struct {
	text   string
	policy *policy.Policy // nil if it cannot be read
}

// maxCachedPolicies bounds a cache: one that is full is emptied.
const maxCachedPolicies = 1000

func (p *policyCache) parsed(resourceARN, text string) *policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.cache[resourceARN]; ok && known.text == text {
		return known.policy
	}
	read, err := policy.Parse(text, scopeOf(resourceARN))
	if err != nil {
		read = nil // it was put by another version of Sluice, and what is not understood allows nothing
	}
	if p.cache == nil || len(p.cache) >= maxCachedPolicies {
		p.cache = map[string]cachedPolicy{}
	}
	p.cache[resourceARN] = cachedPolicy{text, read}
	return read
}

func scopeOf(resourceARN string) policy.Scope {
	return policy.Scope{Resource: resourceARN, Service: "kinesis", Actions: shared}
}

// subjectOf returns functions that find what an input names: the ARN of the resource that it is about, and the stream's
// name. They return nil if it does not.
func subjectOf[I any]() (resourceARN, streamName func(*I) *string) {
	field := func(names ...string) func(*I) *string {
		var indexes []int
		for _, name := range names {
			if f, ok := reflect.TypeFor[I]().FieldByName(name); ok && f.Type == reflect.TypeFor[*string]() {
				indexes = append(indexes, f.Index[0])
			}
		}
		return func(in *I) *string {
			for _, i := range indexes {
				if text := reflect.ValueOf(in).Elem().Field(i).Interface().(*string); text != nil {
					return text
				}
			}
			return nil
		}
	}
	return field("ConsumerARN", "ResourceARN", "StreamARN"), field("StreamName")
}

// acts tells whether the caller acts for the owner of what is in the account and region.
func acts(c wire.Caller, name stream.Name) bool {
	return name.Account == ownerOf(c) && name.Region == c.Region
}
