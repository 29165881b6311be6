package policy

import (
	"strings"
	"testing"
	"time"
)

const arn = "arn:aws:kinesis:eu-central-1:111111111111:stream/orders"

var scope = Scope{Resource: arn, Service: "kinesis", Actions: []string{"PutRecord", "PutRecords", "GetRecords"}}

func request(change func(*Request)) *Request {
	r := &Request{
		Account: "222222222222", Action: "kinesis:PutRecord", Resource: arn, Region: "eu-central-1",
		Address: "10.1.2.3", Secure: true, Time: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	}
	if change != nil {
		change(r)
	}
	return r
}

// statementOf is a policy of one statement that allows what the parts say.
func statementOf(parts string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + parts + `}}`
}

const anybody = `"Principal":"*","Action":"kinesis:PutRecord","Resource":"` + arn + `"`

func TestAStatementAllowsWhatAllItsPartsMatch(t *testing.T) {
	for _, c := range []struct {
		parts string
		want  Effect
	}{
		{anybody, Allowed},
		{`"Principal":{"AWS":"222222222222"},"Action":"kinesis:Put*","Resource":"*"`, Allowed},
		{`"Principal":{"AWS":["333333333333","arn:aws:iam::222222222222:root"]},"Action":["kinesis:GetRecords","KINESIS:putrecord"],"Resource":["arn:aws:kinesis:*:111111111111:stream/ord?rs"]`, Allowed},
		{`"Principal":{"AWS":"*"},"Action":"*","Resource":"*"`, Allowed},
		{`"Principal":{"AWS":"333333333333"},"Action":"kinesis:PutRecord","Resource":"*"`, Silent},
		{`"Principal":{"AWS":"arn:aws:iam::222222222222:role/writer"},"Action":"kinesis:PutRecord","Resource":"*"`, Silent},
		{`"Principal":"*","Action":"kinesis:GetRecords","Resource":"*"`, Silent},
		{`"NotPrincipal":{"AWS":"222222222222"},"Action":"kinesis:PutRecord","Resource":"*"`, Silent},
		{`"NotPrincipal":{"AWS":"arn:aws:iam::222222222222:role/writer"},"Action":"kinesis:PutRecord","Resource":"*"`, Silent},
		{`"NotPrincipal":{"AWS":"arn:aws:iam::333333333333:role/writer"},"Action":"kinesis:PutRecord","Resource":"*"`, Allowed},
		{`"NotPrincipal":{"AWS":"333333333333"},"Action":"kinesis:PutRecord","Resource":"*"`, Allowed},
		{`"Principal":"*","NotAction":"kinesis:GetRecords","Resource":"*"`, Allowed},
		{`"Principal":"*","NotAction":"kinesis:Put*","Resource":"*"`, Silent},
		{`"Principal":"*","Action":"kinesis:PutRecord","NotResource":"*"`, Silent},
	} {
		p, err := Parse(statementOf(c.parts), scope)
		if err != nil {
			t.Errorf("%s: %v", c.parts, err)
			continue
		}
		if got := p.Evaluate(request(nil)); got != c.want {
			t.Errorf("%s: %v, want %v", c.parts, got, c.want)
		}
	}
}

func TestADenialCountsMoreThanAnyPermission(t *testing.T) {
	p, err := Parse(`{"Statement":[{"Sid":"a","Effect":"Allow",`+anybody+`},{"Sid":"b","Effect":"Deny",`+anybody+
		`,"Condition":{"Bool":{"aws:SecureTransport":false}}}]}`, scope)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Evaluate(request(nil)); got != Allowed {
		t.Errorf("with TLS: %v", got)
	}
	if got := p.Evaluate(request(func(r *Request) { r.Secure = false })); got != Denied {
		t.Errorf("without TLS: %v", got)
	}
	if got := p.Evaluate(request(func(r *Request) { r.Action = "kinesis:GetRecords"; r.Secure = false })); got != Silent {
		t.Errorf("another action: %v", got)
	}
}

func TestADenialForSomebodyInAnAccountKeepsTheAccountOut(t *testing.T) {
	for principal, want := range map[string]Effect{
		`"Principal":{"AWS":"arn:aws:iam::222222222222:user/writer"}`:    Denied,
		`"Principal":{"AWS":"arn:aws:iam::333333333333:user/writer"}`:    Allowed,
		`"NotPrincipal":{"AWS":"arn:aws:iam::222222222222:user/writer"}`: Denied,
		`"NotPrincipal":{"AWS":"222222222222"}`:                          Allowed,
	} {
		p, err := Parse(`{"Statement":[{"Effect":"Allow",`+anybody+`},{"Effect":"Deny",`+principal+`,"Action":"*","Resource":"*"}]}`, scope)
		if err != nil {
			t.Fatal(principal, err)
		}
		if got := p.Evaluate(request(nil)); got != want {
			t.Errorf("%s: %v, want %v", principal, got, want)
		}
	}
}

func TestConditionsHoldAsAWSSaysTheyDo(t *testing.T) {
	for condition, want := range map[string]bool{
		`"StringEquals":{"aws:PrincipalAccount":"222222222222"}`:                                        true,
		`"StringEquals":{"AWS:principalaccount":["1","222222222222"]}`:                                  true,
		`"StringEquals":{"aws:PrincipalAccount":"222222222223"}`:                                        false,
		`"StringNotEquals":{"aws:PrincipalAccount":["222222222222","1"]}`:                               false,
		`"StringNotEquals":{"aws:PrincipalAccount":["1","2"]}`:                                          true,
		`"StringEqualsIgnoreCase":{"aws:PrincipalType":"ACCOUNT"}`:                                      true,
		`"StringNotEqualsIgnoreCase":{"aws:PrincipalType":"ACCOUNT"}`:                                   false,
		`"StringLike":{"aws:RequestedRegion":"eu-*"}`:                                                   true,
		`"StringNotLike":{"aws:RequestedRegion":"eu-*"}`:                                                false,
		`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::222222222222:root"}`:                             true,
		`"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:*"}`:                                             true,
		`"ArnLike":{"aws:PrincipalArn":"arn:aws:*:222222222222:root:x"}`:                                false,
		`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:root"}`:                                       false,
		`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`:                                                     true,
		`"IpAddress":{"aws:SourceIp":["10.1.2.3","192.168.0.0/16"]}`:                                    true,
		`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`:                                                  false,
		`"Bool":{"aws:SecureTransport":"true"}`:                                                         true,
		`"Bool":{"aws:SecureTransport":false}`:                                                          false,
		`"NumericGreaterThan":{"aws:EpochTime":1700000000}`:                                             true,
		`"NumericLessThanEquals":{"aws:EpochTime":"1700000000"}`:                                        false,
		`"DateGreaterThan":{"aws:CurrentTime":"2026-05-01T11:59:59Z"}`:                                  true,
		`"DateLessThan":{"aws:CurrentTime":"2026-05-01"}`:                                               false,
		`"DateEquals":{"aws:CurrentTime":"2026-05-01T14:00:00+02:00"}`:                                  true,
		`"Null":{"aws:SourceIp":"true"}`:                                                                false,
		`"Null":{"aws:SourceIp":false}`:                                                                 true,
		`"StringEquals":{"aws:PrincipalAccount":"222222222222"},"Bool":{"aws:SecureTransport":"false"}`: false,
	} {
		p, err := Parse(statementOf(anybody+`,"Condition":{`+condition+`}`), scope)
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got := p.Evaluate(request(nil)) == Allowed; got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

func TestAKeyThatARequestDoesNotHaveMatchesNothing(t *testing.T) {
	for condition, want := range map[string]bool{
		`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`:         false,
		`"IpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}`: true,
		`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`:      true,
		`"Null":{"aws:SourceIp":true}`:                      true,
	} {
		p, err := Parse(statementOf(anybody+`,"Condition":{`+condition+`}`), scope)
		if err != nil {
			t.Fatal(condition, err)
		}
		if got := p.Evaluate(request(func(r *Request) { r.Address = "" })) == Allowed; got != want {
			t.Errorf("%s: %v, want %v", condition, got, want)
		}
	}
}

func TestAPolicyThatCannotBeKeptIsRefused(t *testing.T) {
	rest := `"Action":"kinesis:PutRecord","Resource":"*"`
	for text, want := range map[string]string{
		``:                           "syntax error: it ends too early",
		`[]`:                         "syntax error: an object was expected, not an array",
		`7`:                          "syntax error: an object was expected, not a number",
		`{"Version":7}`:              "syntax error: Version cannot be a number",
		`{}`:                         "no statement",
		`{"Statement":[`:             "syntax error: it ends too early",
		`{"Statement":[7]}`:          "syntax error: an object was expected, not a number",
		`{"Statement":7}`:            "syntax error: an object was expected, not a number",
		`{"Statement":[{"Sid":{}}]}`: "syntax error: Sid cannot be an object",

		`{"Version":"2020-01-01","Statement":[{"Effect":"Allow",` + anybody + `}]}`: "version",
		`{"Statement":[]}`: "no statement",
		`{"Statement":[{"Effect":"Allow",` + anybody + `}]} x`:                                                    "syntax error",
		`{"Statement":[{"Effect":"Allow",` + anybody + `}],"Other":1}`:                                            "unknown field",
		`{"Statement":[{"Effect":"Allow","effect":"Deny",` + anybody + `}]}`:                                      "stands twice",
		`{"Statement":[{"Effect":"Maybe",` + anybody + `}]}`:                                                      "effect",
		`{"Statement":[{"Sid":"a","Effect":"Deny",` + anybody + `},{"Sid":"a","Effect":"Deny",` + anybody + `}]}`: "unique",
		statementOf(rest): "Principal",
		statementOf(`"Principal":"*","NotPrincipal":"*",` + rest):                                                 "Principal",
		statementOf(`"Principal":"me",` + rest):                                                                   "principal",
		statementOf(`"Principal":{"AWS":[]},` + rest):                                                             "empty",
		statementOf(`"Principal":{"AWS":"arn:aws:iam::1:root"},` + rest):                                          "invalid principal",
		statementOf(`"Principal":{"Service":"lambda.amazonaws.com"},` + rest):                                     "unsupported principal",
		statementOf(`"Principal":"*","Resource":"*"`):                                                             "Action",
		statementOf(`"Principal":"*","Resource":"*","Action":"sqs:SendMessage"`):                                  "invalid action",
		statementOf(`"Principal":"*","Resource":"*","Action":"kinesis:PutEverything"`):                            "invalid action",
		statementOf(`"Principal":"*","Resource":"*","Action":null`):                                               "a text or a list",
		statementOf(`"Principal":"*","Resource":"*","Action":[]`):                                                 "no action",
		statementOf(`"Principal":"*","Action":"kinesis:*"`):                                                       "Resource",
		statementOf(`"Principal":"*","Action":"kinesis:*","Resource":"` + arn + `2"`):                             "is not",
		statementOf(`"Principal":"*","Action":"kinesis:*","Resource":"arn:aws:kinesis:${aws:RequestedRegion}:*"`): "variables",
		statementOf(anybody + `,"Condition":{"ForAnyValue:StringEquals":{"aws:PrincipalAccount":"1"}}`):           "unsupported condition operator",
		statementOf(anybody + `,"Condition":{"BinaryEquals":{"aws:PrincipalAccount":"1"}}`):                       "unsupported condition operator",
		statementOf(anybody + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`):                       "unsupported condition key",
		statementOf(anybody + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":[]}}`):                        "no value",
		statementOf(anybody + `,"Condition":{"IpAddress":{"aws:SourceIp":"home"}}`):                               "invalid value",
		statementOf(anybody + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"*"}}`):                                "invalid value",
		statementOf(anybody + `,"Condition":{"NumericEquals":{"aws:EpochTime":"now"}}`):                           "invalid value",
		statementOf(anybody + `,"Condition":{"DateEquals":{"aws:CurrentTime":"now"}}`):                            "invalid value",
		statementOf(anybody + `,"Condition":{"Bool":{"aws:SecureTransport":"maybe"}}`):                            "invalid value",
		statementOf(anybody + `,"Condition":{"Null":{"aws:SourceIp":"maybe"}}`):                                   "Null",
		strings.Repeat(`[`, 20000): "syntax error",
	} {
		if _, err := Parse(text, scope); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200s: %v, want %q", text, err, want)
		}
	}
}

func TestPatternsWithManyStarsTakeNoLongerThanTheyMust(t *testing.T) {
	if like(strings.Repeat("*a", 2000)+"b", strings.Repeat("a", 20000)) {
		t.Error("matches")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(statementOf(anybody))
	f.Add(statementOf(anybody + `,"Condition":{"IpAddress":{"aws:SourceIp":["10.1.2.3","192.168.0.0/16"]},"Null":{"aws:EpochTime":false}}`))
	f.Add(`{"Statement":[{"Sid":"a","Effect":"Deny","NotPrincipal":{"AWS":["1"]},"NotAction":[1,true],"NotResource":null}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := Parse(text, scope); err == nil {
			p.Evaluate(request(nil))
		}
	})
}
