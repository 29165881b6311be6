package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Scope is what a policy can be about.
type Scope struct {
	Resource string   // the ARN that the policy is attached to
	Service  string   // "kinesis"
	Actions  []string // the operations that there are, "PutRecord"
}

// Parse reads a policy. Its error is for whoever wrote it.
func Parse(text string, scope Scope) (*Policy, error) {
	var doc document
	if err := strict([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("syntax error: %w", err)
	}
	if strings.Contains(text, "${") {
		return nil, errors.New("policy variables are not supported")
	}
	if doc.Version != nil && *doc.Version != "2012-10-17" && *doc.Version != "2008-10-17" {
		return nil, fmt.Errorf("the version must be 2012-10-17 or 2008-10-17")
	}
	if len(doc.Statement) == 0 {
		return nil, errors.New("there is no statement")
	}
	p := &Policy{}
	sids := map[string]bool{}
	for i := range doc.Statement {
		raw := &doc.Statement[i]
		if raw.Sid != "" && sids[raw.Sid] {
			return nil, fmt.Errorf("statement IDs (SID) must be unique: %s", clip(raw.Sid))
		}
		sids[raw.Sid] = true
		s, err := raw.parse(scope)
		if err != nil {
			return nil, err
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

type document struct {
	Version   *string
	ID        string `json:"Id"`
	Statement statements
}

// statements are one or a list of them.
type statements []rawStatement

// UnmarshalJSON implements json.Unmarshaler.
func (s *statements) UnmarshalJSON(raw []byte) error {
	if raw[0] == '[' {
		var list []rawStatement
		err := strict(raw, &list)
		*s = list
		return err
	}
	*s = make(statements, 1)
	return strict(raw, &(*s)[0])
}

type rawStatement struct {
	Sid                     string
	Effect                  string
	Principal, NotPrincipal *rawPrincipal
	Action, NotAction       texts
	Resource, NotResource   texts
	Condition               map[string]map[string]texts
}

// texts are one or a list of texts; numbers and truth values, which conditions may have, are taken as they are written.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var list []json.RawMessage
	if raw[0] != '[' {
		list = []json.RawMessage{raw}
	} else if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	*t = make(texts, 0, len(list))
	for _, one := range list {
		var text string
		switch one[0] {
		case '"':
			if err := json.Unmarshal(one, &text); err != nil {
				return err
			}
		case '{', '[', 'n':
			return errors.New("a text or a list of texts was expected")
		default:
			text = string(one)
		}
		*t = append(*t, text)
	}
	return nil
}

// rawPrincipal is "*" or an object.
type rawPrincipal struct {
	anybody bool
	aws     texts
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *rawPrincipal) UnmarshalJSON(raw []byte) error {
	if bytes.Equal(raw, []byte(`"*"`)) {
		p.anybody = true
		return nil
	}
	var kinds map[string]texts
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return errors.New("a principal must be \"*\" or an object")
	}
	for kind, who := range kinds {
		if kind != "AWS" {
			return fmt.Errorf("unsupported principal: %s", clip(kind))
		}
		p.aws = who
	}
	return nil
}

var (
	accountForm   = regexp.MustCompile(`^\d{12}$`)
	principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:(?:iam|sts)::(\d{12}):(?:root|(?:user|role|assumed-role|federated-user)/[\w+=,.@/-]+)$`)
)

// parse checks a statement and makes it ready.
func (raw *rawStatement) parse(scope Scope) (statement, error) {
	s := statement{
		deny: raw.Effect == "Deny", notPrincipals: raw.NotPrincipal != nil,
		notActions: raw.NotAction != nil, notResources: raw.NotResource != nil,
	}
	switch {
	case raw.Effect != "Allow" && raw.Effect != "Deny":
		return s, errors.New("the effect must be Allow or Deny")
	case (raw.Principal == nil) == (raw.NotPrincipal == nil):
		return s, errors.New("a statement must have one of Principal and NotPrincipal")
	case (raw.Action == nil) == (raw.NotAction == nil):
		return s, errors.New("a statement must have one of Action and NotAction")
	case (raw.Resource == nil) == (raw.NotResource == nil):
		return s, errors.New("a statement must have one of Resource and NotResource")
	}
	var err error
	if s.principals, err = parsePrincipals(raw.Principal, raw.NotPrincipal); err != nil {
		return s, err
	}
	if s.actions, err = parseActions(append(raw.Action, raw.NotAction...), scope); err != nil {
		return s, err
	}
	s.resources = patterns(append(raw.Resource, raw.NotResource...))
	for _, resource := range s.resources {
		if !like(resource, scope.Resource) {
			return s, fmt.Errorf("the resource %s is not %s", clip(resource), scope.Resource)
		}
	}
	s.conditions, err = parseConditions(raw.Condition)
	return s, err
}

func parsePrincipals(raw, not *rawPrincipal) ([]principal, error) {
	if raw == nil {
		raw = not
	}
	if raw.anybody {
		return []principal{{account: "*"}}, nil
	}
	var principals []principal
	for _, who := range raw.aws {
		form := principalForm.FindStringSubmatch(who)
		switch {
		case who == "*", accountForm.MatchString(who):
			principals = append(principals, principal{account: who})
		case form == nil:
			return nil, fmt.Errorf("invalid principal: %s", clip(who))
		case strings.HasSuffix(who, ":root"):
			principals = append(principals, principal{account: form[1]})
		default:
			principals = append(principals, principal{account: form[1], arn: who})
		}
	}
	if principals == nil {
		return nil, errors.New("a principal is empty")
	}
	return principals, nil
}

// parseActions returns actions in small letters: they are compared without regard to case.
func parseActions(raw texts, scope Scope) (patterns, error) {
	var actions patterns
	for _, action := range raw {
		small := strings.ToLower(action)
		known := false
		for _, operation := range scope.Actions {
			known = known || like(small, scope.Service+":"+strings.ToLower(operation))
		}
		if !known {
			return nil, fmt.Errorf("invalid action: %s", clip(action))
		}
		actions = append(actions, small)
	}
	if actions == nil {
		return nil, errors.New("there is no action")
	}
	return actions, nil
}

// strict decodes JSON and refuses members that are not known or stand twice, and what follows.
func strict(raw []byte, into any) error {
	if err := noTwins(raw); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong) && wrong.Field == "":
			return fmt.Errorf("an object was expected, not %s", article(wrong.Value))
		case errors.As(err, &wrong):
			return fmt.Errorf("%s cannot be %s", clip(wrong.Field), article(wrong.Value))
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errEarly
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the policy")
	}
	return nil
}

var errEarly = errors.New("it ends too early")

// article is a kind of JSON value, as the decoder names it, with "a" or "an" before it.
func article(kind string) string {
	kind, _, _ = strings.Cut(kind, " ") // behind it is the number
	if strings.ContainsAny(kind[:1], "ao") {
		return "an " + kind
	}
	return "a " + kind
}

// noTwins refuses an object that has a member twice, of which one would be ignored. Depth is bounded by the decoder.
func noTwins(raw []byte) error {
	type level struct {
		members map[string]bool // nil of a list
		name    bool            // a member's name comes next
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	var levels []*level
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errEarly
		}
		if err != nil {
			return err
		}
		if n := len(levels); n > 0 && levels[n-1].name {
			if name, ok := token.(string); ok {
				name = strings.ToLower(name) // as the decoder compares them, and AWS condition keys
				if levels[n-1].members[name] {
					return fmt.Errorf("%s stands twice", clip(name))
				}
				levels[n-1].members[name], levels[n-1].name = true, false
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, &level{members: map[string]bool{}, name: true})
			continue
		case json.Delim('['):
			levels = append(levels, &level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if n := len(levels); n > 0 {
			levels[n-1].name = levels[n-1].members != nil
		}
	}
}

// clip is what is repeated of a text.
func clip(text string) string {
	const most = 128
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
