package eventsource

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Mapping are the settings of an event source mapping, named as in CloudFormation.
// Defaults: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
type Mapping struct {
	BatchSize                      int      `yaml:"BatchSize"`
	MaximumBatchingWindowInSeconds int      `yaml:"MaximumBatchingWindowInSeconds"`
	ParallelizationFactor          int      `yaml:"ParallelizationFactor"`
	BisectBatchOnFunctionError     bool     `yaml:"BisectBatchOnFunctionError"`
	FunctionResponseTypes          []string `yaml:"FunctionResponseTypes"`
	MaximumRetryAttempts           int      `yaml:"MaximumRetryAttempts"`      // -1: without end
	MaximumRecordAgeInSeconds      int      `yaml:"MaximumRecordAgeInSeconds"` // -1: any
	StartingPosition               string   `yaml:"StartingPosition"`
}

const reportBatchItemFailures = "ReportBatchItemFailures"

// Deployed is what a template says of a function that Kinesis starts.
type Deployed struct {
	Mapping Mapping
	Timeout time.Duration
}

// FromTemplate reads the function's only Kinesis event from a SAM template. What this package does not know of a mapping is refused:
// what is tested is what is deployed, or it is said.
func FromTemplate(template []byte, function string) (Deployed, error) {
	var t struct {
		Resources map[string]yaml.Node `yaml:"Resources"` // Fn::ForEach is none, for one
	}
	var f struct {
		Properties struct {
			Timeout int `yaml:"Timeout"`
			Events  map[string]struct {
				Type       string    `yaml:"Type"`
				Properties yaml.Node `yaml:"Properties"`
			} `yaml:"Events"`
		} `yaml:"Properties"`
	}
	if err := yaml.Unmarshal(template, &t); err != nil {
		return Deployed{}, fmt.Errorf("template: %w", err)
	}
	resource := t.Resources[function]
	if err := resource.Decode(&f); err != nil {
		return Deployed{}, fmt.Errorf("template: %s: %w", function, err)
	}
	for name, event := range f.Properties.Events {
		if event.Type != "Kinesis" {
			continue
		}
		text, err := yaml.Marshal(&event.Properties)
		if err != nil {
			return Deployed{}, err
		}
		m := struct {
			Mapping           `yaml:",inline"`
			Stream            any `yaml:"Stream"`
			DestinationConfig any `yaml:"DestinationConfig"`
		}{Mapping: Mapping{BatchSize: 100, ParallelizationFactor: 1, MaximumRetryAttempts: -1, MaximumRecordAgeInSeconds: -1}}
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&m); err != nil {
			return Deployed{}, fmt.Errorf("event %s of %s: %w", name, function, err)
		}
		return Deployed{m.Mapping, time.Duration(f.Properties.Timeout) * time.Second}, m.check()
	}
	return Deployed{}, fmt.Errorf("the template has no function %s with a Kinesis event", function)
}

func (m Mapping) check() error {
	var problems []error
	for _, r := range []struct {
		name          string
		value, lo, hi int
	}{
		{"BatchSize", m.BatchSize, 1, 10000},
		{"MaximumBatchingWindowInSeconds", m.MaximumBatchingWindowInSeconds, 0, 300},
		{"ParallelizationFactor", m.ParallelizationFactor, 1, 10},
		{"MaximumRetryAttempts", m.MaximumRetryAttempts, -1, 10000},
		{"MaximumRecordAgeInSeconds", m.MaximumRecordAgeInSeconds, -1, 604800},
	} {
		if r.value < r.lo || r.value > r.hi {
			problems = append(problems, fmt.Errorf("%s is %d: want %d to %d", r.name, r.value, r.lo, r.hi))
		}
	}
	// "The minimum valid value for maximum record age is 60s. Although values less than 60 and greater than -1 fall within the parameter's
	// absolute range, they are not allowed." https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
	if age := m.MaximumRecordAgeInSeconds; age > -1 && age < 60 {
		problems = append(problems, fmt.Errorf("MaximumRecordAgeInSeconds is %d: want -1 or at least 60", age))
	}
	if m.StartingPosition != "TRIM_HORIZON" {
		problems = append(problems, fmt.Errorf("StartingPosition %q is not simulated: TRIM_HORIZON is", m.StartingPosition))
	}
	return errors.Join(problems...)
}
