// Package policy reads resource policies, which are written in AWS's policy language (IAM User Guide, "IAM JSON policy
// element reference"), and tells what they allow. What a policy cannot be held to here is refused when it is read, so
// that no policy says less than its owner thinks.
package policy

import (
	"slices"
	"strings"
	"time"
)

// Request is what somebody wants to do.
type Request struct {
	Account  string // whose credentials have signed it
	Action   string // "kinesis:PutRecord"
	Resource string // the ARN
	Region   string
	Address  string // the client's, without a port
	Secure   bool   // it came over TLS
	Time     time.Time
}

// PrincipalARN is whom a request comes from: credentials here are those of an account, without users and roles.
func (r *Request) PrincipalARN() string { return "arn:aws:iam::" + r.Account + ":root" }

// Effect is what a policy says of a request.
type Effect int

const (
	// Silent: no statement is about the request, so that it is not allowed.
	Silent Effect = iota
	// Allowed by a statement, and denied by none.
	Allowed
	// Denied by a statement.
	Denied
)

// Policy is a policy that has been read.
type Policy struct{ statements []statement }

// statement is one statement. Each of its parts must match.
type statement struct {
	deny                                    bool
	principals                              []principal
	actions                                 patterns
	resources                               patterns
	conditions                              []condition
	notPrincipals, notActions, notResources bool
}

// principal is an account or somebody in it, "*" for anybody.
type principal struct{ account, arn string }

// patterns are texts with * and ?.
type patterns []string

// Evaluate tells what the policy says of a request.
func (p *Policy) Evaluate(r *Request) Effect {
	effect := Silent
	for i := range p.statements {
		s := &p.statements[i]
		if !s.matches(r) {
			continue
		}
		if s.deny {
			return Denied
		}
		effect = Allowed
	}
	return effect
}

func (s *statement) matches(r *Request) bool {
	// Which of an account's users has signed is not known. Where it matters, it is the one to whom less is allowed.
	perhaps := s.deny != s.notPrincipals
	byPrincipal := slices.ContainsFunc(s.principals, func(p principal) bool { return p.matches(r, perhaps) })
	if byPrincipal == s.notPrincipals || s.actions.match(strings.ToLower(r.Action)) == s.notActions ||
		s.resources.match(r.Resource) == s.notResources {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(r) {
			return false
		}
	}
	return true
}

// matches tells whether it is who has signed the request; perhaps is the answer for somebody in that account.
func (p principal) matches(r *Request, perhaps bool) bool {
	return p.account == "*" || p.account == r.Account && (p.arn == "" || perhaps)
}

func (p patterns) match(text string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool { return like(pattern, text) })
}

// like tells whether a text matches a pattern, in time proportional to the product of their lengths at most.
func like(pattern, text string) bool {
	star, from := -1, 0 // the last * and where what it stands for may end next
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, from = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == text[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
