// Command rulegen writes the rules that AWS's service model of Kinesis has for the inputs of its operations, as Go
// code. Its one argument is the path of the model, a file kinesis-2013-12-02 service-2.json of botocore; what it
// prints is rules.go of the package above. The model itself is not part of this repository.
//
//	go run ./internal/api/kinesis/rulegen MODEL > rules.go && mv rules.go internal/api/kinesis/
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rulegen MODEL")
		os.Exit(2)
	}
	code, err := run(os.Args[1])
	if err == nil {
		_, err = os.Stdout.Write(code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rulegen:", err)
		os.Exit(1)
	}
}

func run(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	var m model
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("read the model %s: %w", path, err)
	}
	return m.generate()
}
