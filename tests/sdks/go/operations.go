// The four operations, each read as an application reads it.
package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

type operation func(context.Context, *bedrockruntime.Client, testCase, *outcome) error

var operations = map[string]operation{
	"ConverseStream":                converseStream,
	"Converse":                      converse,
	"InvokeModelWithResponseStream": invokeStream,
	"InvokeModel":                   invoke,
}

func messages(test testCase) []types.Message {
	text := &types.ContentBlockMemberText{Value: test.Prompt}
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{text}}}
}

func converseStream(ctx context.Context, client *bedrockruntime.Client, test testCase, outcome *outcome) error {
	input := &bedrockruntime.ConverseStreamInput{ModelId: &test.Model, Messages: messages(test)}
	answer, err := client.ConverseStream(ctx, input)
	if err != nil {
		return err
	}
	stream := answer.GetStream()
	defer stream.Close()
	for event := range stream.Events() {
		switch event := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			if start, ok := event.Value.Start.(*types.ContentBlockStartMemberToolUse); ok {
				outcome.Tool = &tool{Name: aws.ToString(start.Value.Name)}
			}
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch delta := event.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				outcome.Text += delta.Value
			case *types.ContentBlockDeltaMemberToolUse:
				outcome.Tool.Input += aws.ToString(delta.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			outcome.Stop = string(event.Value.StopReason)
		}
		if test.Leave != "" && outcome.Text != "" {
			return nil
		}
	}
	return stream.Err()
}

func converse(ctx context.Context, client *bedrockruntime.Client, test testCase, outcome *outcome) error {
	answer, err := client.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &test.Model, Messages: messages(test)})
	if err != nil {
		return err
	}
	outcome.Stop = string(answer.StopReason)
	message, ok := answer.Output.(*types.ConverseOutputMemberMessage)
	if !ok {
		return nil
	}
	for _, block := range message.Value.Content {
		switch block := block.(type) {
		case *types.ContentBlockMemberText:
			outcome.Text += block.Value
		case *types.ContentBlockMemberToolUse:
			text, err := block.Value.Input.MarshalSmithyDocument()
			if err != nil {
				return err
			}
			outcome.Tool = &tool{Name: aws.ToString(block.Value.Name), Input: string(text)}
		}
	}
	return nil
}

func invokeStream(ctx context.Context, client *bedrockruntime.Client, test testCase, outcome *outcome) error {
	input := &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &test.Model, Body: []byte(test.Body)}
	answer, err := client.InvokeModelWithResponseStream(ctx, input)
	if err != nil {
		return err
	}
	stream := answer.GetStream()
	defer stream.Close()
	for event := range stream.Events() {
		if chunk, ok := event.(*types.ResponseStreamMemberChunk); ok {
			outcome.Chunks = append(outcome.Chunks, string(chunk.Value.Bytes))
		}
		if test.Leave != "" {
			return nil
		}
	}
	return stream.Err()
}

func invoke(ctx context.Context, client *bedrockruntime.Client, test testCase, outcome *outcome) error {
	input := &bedrockruntime.InvokeModelInput{ModelId: &test.Model, Body: []byte(test.Body)}
	answer, err := client.InvokeModel(ctx, input)
	if err != nil {
		return err
	}
	outcome.Chunks = append(outcome.Chunks, string(answer.Body))
	return nil
}
