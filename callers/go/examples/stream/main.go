// Prints the text of an answer as it arrives, and then why it ended.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

func main() {
	example.Main(outcrop.Options{}, func(ctx context.Context, client *outcrop.Client) error {
		prompt := strings.Join(os.Args[1:], " ")
		if prompt == "" {
			prompt = "hi"
		}
		stream := client.Generate(ctx, &outcropv1.GenerateRequest{Prompt: prompt})
		defer stream.Close()
		for text, err := range stream.Text() {
			if err != nil {
				return err
			}
			fmt.Print(text)
		}
		answer, err := stream.Answer()
		if err != nil {
			return err
		}
		fmt.Println()
		fmt.Println(answer.Finish.GetStopReason(), answer.Finish.GetUsage().GetOutputTokens(), "output tokens")
		return nil
	})
}
