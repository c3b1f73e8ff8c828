// A tool loop: the model calls a tool, the program executes it, and the model answers with the result.
package main

import (
	"context"
	"fmt"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

const schema = `{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}`

func tools() *outcropv1.ToolConfiguration {
	spec := &outcropv1.ToolSpecification{
		Name:        "get_weather",
		Description: "The weather in a city.",
		InputSchema: &outcropv1.ToolInputSchema{Schema: &outcropv1.ToolInputSchema_JsonText{JsonText: schema}},
	}
	return &outcropv1.ToolConfiguration{Tools: []*outcropv1.Tool{{Tool: &outcropv1.Tool_ToolSpec{ToolSpec: spec}}}}
}

func weather(use *outcropv1.ToolUseBlock) (*outcropv1.ContentBlock, error) {
	var input struct{ City string }
	if err := outcrop.ToolInput(use, &input); err != nil {
		return nil, err
	}
	return outcrop.ToolResult(use, map[string]any{"city": input.City, "sky": "clear", "degrees": 21}, false)
}

func main() {
	example.Main(outcrop.Options{}, func(ctx context.Context, client *outcrop.Client) error {
		messages := []*outcropv1.Message{outcrop.User(outcrop.Text("What is the weather in Paris?"))}
		for {
			stream := client.Generate(ctx, &outcropv1.GenerateRequest{Model: "emulator.call", Messages: messages, ToolConfig: tools()})
			answer, err := stream.Answer()
			stream.Close()
			if err != nil {
				return err
			}
			messages = append(messages, answer.Message) // Unchanged, with reasoning and signatures.
			if answer.Finish.GetStopReason() != outcropv1.StopReason_STOP_REASON_TOOL_USE {
				fmt.Println("answer", len(messages), answer.Text() != "")
				return nil
			}
			var results []*outcropv1.ContentBlock
			for _, use := range answer.ToolUses() {
				fmt.Println("tool", use.GetName())
				result, err := weather(use)
				if err != nil {
					return err
				}
				results = append(results, result)
			}
			messages = append(messages, outcrop.User(results...))
		}
	})
}
