// The AWS SDK for Go v2 as an application has it: reads cases as a line of JSON, asks for each, and prints what the application saw as a
// line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go"
)

const module = "github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

// testCase is a case of the input.
type testCase struct {
	Case, Operation, Model, Prompt, Body, Leave string
	// Once: without the retries of the SDK.
	Once bool
}

type tool struct {
	Name  string `json:"name"`
	Input string `json:"input"`
}

// failure is an error, by the names that an application can test for.
type failure struct {
	Class   string `json:"class"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Status  int    `json:"status"`
}

// outcome is what the application saw.
type outcome struct {
	Case   string   `json:"case"`
	Text   string   `json:"text"`
	Stop   string   `json:"stop"`
	Tool   *tool    `json:"tool"`
	Chunks []string `json:"chunks"`
	Error  *failure `json:"error"`
}

func failed(err error) *failure {
	told := &failure{Message: err.Error()}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		told.Class = strings.TrimPrefix(fmt.Sprintf("%T", cause), "*")
		if strings.HasPrefix(told.Class, "types.") {
			break
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		told.Code = api.ErrorCode()
	}
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) {
		told.Status = response.HTTPStatusCode()
	}
	return told
}

// run asks for a case with a client of its own, so that no connection is shared.
func run(ctx context.Context, test testCase) outcome {
	outcome := outcome{Case: test.Case, Chunks: []string{}}
	loaded, err := config.LoadDefaultConfig(ctx)
	if err == nil {
		client := bedrockruntime.NewFromConfig(loaded, func(options *bedrockruntime.Options) {
			if test.Once {
				options.Retryer = retry.AddWithMaxAttempts(retry.NewStandard(), 1)
			}
		})
		err = operations[test.Operation](ctx, client, test, &outcome)
	}
	if err != nil {
		outcome.Error = failed(err)
	}
	return outcome
}

func version() string {
	built, _ := debug.ReadBuildInfo()
	for _, dependency := range built.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "unknown"
}

func main() {
	var cases []testCase
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&cases); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	results := make([]outcome, len(cases))
	limit := make(chan struct{}, 8)
	var running sync.WaitGroup
	for at, test := range cases {
		running.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			results[at] = run(ctx, test)
		})
	}
	running.Wait()
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]string{"sdk": "AWS SDK for Go v2 (bedrockruntime " + version() + ")"})
	for _, outcome := range results {
		_ = out.Encode(outcome)
	}
	// What was left must not end with the process.
	_, _ = io.Copy(io.Discard, os.Stdin)
}
