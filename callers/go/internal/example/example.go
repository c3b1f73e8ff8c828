// Package example has what the examples share: where the server is, and how an error is printed.
package example

import (
	"context"
	"errors"
	"fmt"
	"os"

	outcrop "outcrop.example/go"
)

// Main runs an example with a client for OUTCROP_ENDPOINT, OUTCROP_API_KEY, and OUTCROP_CA with the authorities to trust.
func Main(options outcrop.Options, run func(context.Context, *outcrop.Client) error) {
	if err := start(options, run); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(options outcrop.Options, run func(context.Context, *outcrop.Client) error) error {
	endpoint := os.Getenv("OUTCROP_ENDPOINT")
	if endpoint == "" {
		endpoint = "localhost:50051"
	}
	options.APIKey = os.Getenv("OUTCROP_API_KEY")
	if path := os.Getenv("OUTCROP_CA"); path != "" {
		ca, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		options.CA = ca
	}
	client, err := outcrop.New(endpoint, options)
	if err != nil {
		return err
	}
	defer client.Close()
	return run(context.Background(), client)
}

// codes has the names of the gRPC specification.
var codes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// Show prints what a program can decide by. It returns errors of other types.
func Show(err error) error {
	var failed *outcrop.Error
	if !errors.As(err, &failed) {
		return err
	}
	retry := "no retry"
	if failed.RetryDelay != nil {
		retry = "retry"
	}
	fmt.Println(failed.Reason, codes[failed.Code], failed.Phase, retry)
	for _, violation := range failed.Violations {
		fmt.Println("  field", violation.Field)
	}
	for _, violation := range failed.QuotaViolations {
		fmt.Println("  quota", violation.Subject)
	}
	return nil
}
