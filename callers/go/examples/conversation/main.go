// A conversation that the server stores: a turn, resumed by the id of the conversation, and what is refused.
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"

	outcrop "outcrop.example/go"
	"outcrop.example/go/internal/example"
	"outcrop.example/go/outcropv1"
)

func main() {
	example.Main(outcrop.Options{}, run)
}

func run(ctx context.Context, client *outcrop.Client) error {
	brief := &outcropv1.SystemContentBlock{Block: &outcropv1.SystemContentBlock_Text{Text: "Be brief."}}
	request := &outcropv1.CreateConversationRequest{System: []*outcropv1.SystemContentBlock{brief}}
	conversation, err := client.CreateConversation(ctx, request)
	if err != nil {
		return err
	}
	model := "emulator.everything"
	if len(os.Args) > 1 {
		model = os.Args[1]
	}
	turn := &outcropv1.GenerateRequest{Model: model, Prompt: "Show everything.", TurnId: "1"}
	first, err := answer(ctx, conversation, turn)
	if err != nil {
		return err
	}
	fmt.Println("revision", *conversation.Revision)

	// Another program resumes it. What is stored is what the stream put together, with signatures and citations.
	resumed := client.Conversation(conversation.ID)
	var stored []*outcropv1.Message
	for turn, err := range resumed.Turns(ctx) {
		if err != nil {
			return err
		}
		stored = append(stored, turn.GetMessages()...)
	}
	fmt.Println("same", proto.Equal(stored[len(stored)-1], first.Message), len(first.Message.GetContent()), "blocks")

	// The server puts the message together too, if it is asked to.
	again, err := answer(ctx, client, &outcropv1.GenerateRequest{Model: model, Prompt: "Show everything.", IncludeMessage: true})
	if err != nil {
		return err
	}
	fmt.Println("included", again.Finish.Message != nil && proto.Equal(again.Message, first.Message))

	// The same turn again calls no model.
	_, err = answer(ctx, client.Conversation(conversation.ID), turn)
	if err := example.Show(err); err != nil {
		return err
	}
	stale := client.Conversation(conversation.ID)
	stale.Revision = proto.Uint32(0)
	_, err = answer(ctx, stale, &outcropv1.GenerateRequest{Prompt: "Who are you?"})
	if err := example.Show(err); err != nil {
		return err
	}
	if err := resumed.Delete(ctx); err != nil {
		return err
	}
	for _, err := range resumed.Turns(ctx) {
		if err := example.Show(err); err != nil {
			return err
		}
	}
	return nil
}

type generator interface {
	Generate(ctx context.Context, request *outcropv1.GenerateRequest) *outcrop.Stream
}

func answer(ctx context.Context, caller generator, request *outcropv1.GenerateRequest) (*outcrop.Answer, error) {
	stream := caller.Generate(ctx, request)
	defer stream.Close()
	return stream.Answer()
}
