package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins the name of every environment variable that is a setting.
const EnvPrefix = "SLUICE_"

// Load puts the file (none if it is empty) over the defaults, and the environment over that. It reads
// strictly: a key that is no setting, or one given twice, is an error that names file and line. Validate is
// left to the caller, who may put flags over the result first.
func Load(defaults Config, file string, environment map[string]string) (Config, error) {
	c := defaults
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
		}
		if err := decode(file, data, &c); err != nil {
			return Config{}, err
		}
	}
	if err := env.ParseWithOptions(&c, env.Options{Environment: environment, Prefix: EnvPrefix}); err != nil {
		return Config{}, environmentError(environment, err)
	}
	if err := c.addEnvironmentCredential(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// orchestrators is what Kubernetes' names of variables for a service have in common behind EnvPrefix, if the service is
// named "sluice", or begins so.
var orchestrators = regexp.MustCompile(`^(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)$`)

// UnknownVariables lists what begins like a setting in the environment and is none, nor comes from an orchestrator. It may be
// a typing error.
func UnknownVariables(environment map[string]string) []string {
	known := map[string]bool{EnvPrefix + "CONFIG": true}
	for _, name := range variables() {
		known[name] = true
	}
	var services []string // what the names of their variables begin with
	for name := range environment {
		if service, ok := strings.CutSuffix(name, "SERVICE_HOST"); ok { // each has it
			services = append(services, service)
		}
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		orchestrated := slices.ContainsFunc(services, func(service string) bool {
			rest, ok := strings.CutPrefix(name, service)
			return ok && orchestrators.MatchString(rest)
		})
		if strings.HasPrefix(name, EnvPrefix) && !known[name] && !orchestrated {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func decode(file string, data []byte, into *Config) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	switch err := decoder.Decode(into); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil
	case err != nil:
		return fileError(file, err)
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return fileError(file, err)
		}
		return fmt.Errorf("%s:%d: a second document; a configuration is one", file, more.Line)
	}
	return nil
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?(?:while .*: )?line (\d+): (.*)$`)
	yamlUnknown = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	yamlKind    = regexp.MustCompile("^cannot unmarshal !!\\S+ `(.*)` into (\\S+)$")
	yamlTwice   = regexp.MustCompile(`^mapping key "([^"]+)" already defined at line (\d+)$`)
)

// kinds are what a setting of a type in Go is, for people.
var kinds = map[string]string{
	"time.Duration": "a duration like 30s or 1h30m", "int": "a whole number", "int64": "a whole number", "bool": "true or false",
}

// fileError puts the decoder's messages in the form file:line: what is wrong, one a line.
func fileError(file string, err error) error {
	messages := []string{err.Error()}
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		messages = typed.Errors
	}
	problems := make([]error, 0, len(messages))
	for _, message := range messages {
		position := file
		if m := yamlLine.FindStringSubmatch(message); m != nil {
			position, message = file+":"+m[1], m[2]
		}
		if m := yamlUnknown.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("there is no setting %q here", m[1])
		}
		if m := yamlKind.FindStringSubmatch(message); m != nil && kinds[m[2]] != "" {
			message = fmt.Sprintf("%q is not %s", m[1], kinds[m[2]])
		}
		if m := yamlTwice.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("%q is set already in line %s", m[1], m[2])
		}
		problems = append(problems, fmt.Errorf("%s: %s", position, message))
	}
	return errors.Join(problems...)
}

// environmentError tells which variables are wrong. The parser names fields of Go structs, which nobody outside
// knows, so each variable is tried alone.
func environmentError(environment map[string]string, err error) error {
	var problems []error
	for _, name := range variables() {
		value, ok := environment[name]
		if !ok {
			continue
		}
		var c Config
		alone := env.Options{Environment: map[string]string{name: value}, Prefix: EnvPrefix}
		if err := env.ParseWithOptions(&c, alone); err != nil {
			if parse, ok := errors.AsType[env.ParseError](err); ok {
				err = parse.Err
				if kind := kinds[strings.TrimPrefix(parse.Type.String(), "*")]; kind != "" {
					err = fmt.Errorf("%q is not %s", value, kind)
				}
			}
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(problems) == 0 {
		return fmt.Errorf("environment: %w", err)
	}
	return errors.Join(problems...)
}

// variables are the names of all settings that the environment can have, sorted.
func variables() []string {
	var c Config
	fields, err := env.GetFieldParamsWithOptions(&c, env.Options{Environment: map[string]string{}, Prefix: EnvPrefix})
	if err != nil {
		panic(err) // a tag in a Config is wrong
	}
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.Key)
	}
	slices.Sort(names)
	return names
}
