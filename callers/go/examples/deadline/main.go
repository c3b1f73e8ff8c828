// A deadline for the whole stream.
package main

import (
	"context"
	"time"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

func main() {
	example.Main(outcrop.Options{}, func(ctx context.Context, client *outcrop.Client) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stream := client.Generate(ctx, &outcropv1.GenerateRequest{Model: "emulator.endless", Prompt: "hi"})
		defer stream.Close()
		_, err := stream.Answer()
		return example.Show(err)
	})
}
