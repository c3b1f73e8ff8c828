// Cancels after the first text. Leaving the loop alone does not cancel: Close, or the context of the call, does. `--wait` waits for a line in between.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

func main() {
	example.Main(outcrop.Options{}, func(ctx context.Context, client *outcrop.Client) error {
		request := &outcropv1.GenerateRequest{Model: "emulator.endless", Prompt: "hi"}
		cancelled, cancel := context.WithCancel(ctx)
		defer cancel()
		stream := client.Generate(cancelled, request)
		defer stream.Close()
		for _, err := range stream.Text() {
			if err != nil {
				return err
			}
			break
		}
		if slices.Contains(os.Args, "--wait") {
			fmt.Println("left the loop, and the call goes on")
			if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
				return err
			}
		}
		cancel()
		if _, err := stream.Answer(); err != nil {
			if other := example.Show(err); other != nil {
				return other
			}
		}
		other := client.Generate(ctx, request)
		for _, err := range other.Text() {
			if err != nil {
				return err
			}
			break
		}
		other.Close()
		fmt.Println("left")
		return nil
	})
}
