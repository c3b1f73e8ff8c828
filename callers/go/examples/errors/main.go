// Calls that fail, before and after content: errors [--heartbeats] [--no-retries] MODEL... Without a model, an invalid request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

func main() {
	heartbeats := flag.Bool("heartbeats", false, "ask for heartbeats")
	noRetries := flag.Bool("no-retries", false, "turn the retry policy off")
	flag.Parse()
	models := flag.Args()
	if len(models) == 0 {
		models = []string{""}
	}
	example.Main(outcrop.Options{NoRetries: *noRetries}, func(ctx context.Context, client *outcrop.Client) error {
		for _, model := range models {
			request := &outcropv1.GenerateRequest{Model: model, Prompt: "hi"}
			if model == "" {
				request.InferenceConfig = &outcropv1.InferenceConfiguration{Temperature: proto.Float32(3), MaxTokens: proto.Int32(0)}
			}
			if *heartbeats {
				request.HeartbeatInterval = durationpb.New(100 * time.Millisecond)
			}
			if err := call(ctx, client, request); err != nil {
				return err
			}
		}
		return nil
	})
}

func call(ctx context.Context, client *outcrop.Client, request *outcropv1.GenerateRequest) error {
	stream := client.Generate(ctx, request)
	defer stream.Close()
	_, err := stream.Answer()
	if err == nil {
		fmt.Println("OK")
		return nil
	}
	if other := example.Show(err); other != nil {
		return other
	}
	var failed *outcrop.Error
	switch {
	case errors.Is(err, outcrop.ReasonInvalidRequest):
		fmt.Println("  correct the request")
	case errors.Is(err, outcrop.ReasonQuotaExhausted), errors.Is(err, outcrop.ReasonBedrockThrottled):
		fmt.Println("  try again later")
	case errors.Is(err, outcrop.ReasonBudgetExhausted):
		fmt.Println("  wait for the next day or month, or ask for more")
	case errors.As(err, &failed) && failed.Phase == outcrop.AfterContent:
		fmt.Println("  discard what has arrived")
	}
	return nil
}
