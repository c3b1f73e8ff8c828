package outcrop

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"outcrop.example/go/outcropv1"
)

// Answer is a complete answer.
type Answer struct {
	// Start is the first chunk: id, model, region, attempts.
	Start *outcropv1.Start
	// Message is that of the assistant. Send it back unchanged.
	Message *outcropv1.Message
	// Finish is the last chunk: stop reason, usage, trace.
	Finish *outcropv1.Finish
	// Others are events that the server does not know. Message does not contain them.
	Others []*outcropv1.OtherEvent
	// Unrecognized are members that the server does not know, in order of arrival.
	Unrecognized []*structpb.Struct
}

// Text is the text of all blocks.
func (a *Answer) Text() string {
	var text strings.Builder
	for _, block := range a.Message.GetContent() {
		text.WriteString(block.GetText())
		for _, piece := range block.GetCitationsContent().GetContent() {
			text.WriteString(piece.GetText())
		}
	}
	return text.String()
}

// ToolUses are the tool uses for the caller to execute.
func (a *Answer) ToolUses() []*outcropv1.ToolUseBlock {
	var uses []*outcropv1.ToolUseBlock
	for _, block := range a.Message.GetContent() {
		if use := block.GetToolUse(); use != nil && use.GetType() != "server_tool_use" {
			uses = append(uses, use)
		}
	}
	return uses
}

// User is a message of the user.
func User(content ...*outcropv1.ContentBlock) *outcropv1.Message {
	return &outcropv1.Message{Role: outcropv1.Role_ROLE_USER, Content: content}
}

// Text is a content block with text.
func Text(text string) *outcropv1.ContentBlock {
	return &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_Text{Text: text}}
}

// ToolResult is the result of a tool use, as JSON. Put all results of an answer into one message of the user.
func ToolResult(use *outcropv1.ToolUseBlock, result any, isError bool) (*outcropv1.ContentBlock, error) {
	text, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	content := &outcropv1.ToolResultContentBlock{Block: &outcropv1.ToolResultContentBlock_JsonText{JsonText: string(text)}}
	block := &outcropv1.ToolResultBlock{ToolUseId: use.GetToolUseId(), Content: []*outcropv1.ToolResultContentBlock{content}, Status: "success"}
	if isError {
		block.Status = "error"
	}
	return &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_ToolResult{ToolResult: block}}, nil
}

// ToolInput decodes the input of a tool use as json.Unmarshal does.
func ToolInput(use *outcropv1.ToolUseBlock, into any) error {
	text := []byte(use.GetInputJson())
	if len(text) == 0 {
		var err error
		if text, err = protojson.Marshal(use.GetInput()); err != nil {
			return err
		}
	}
	return json.Unmarshal(text, into)
}

// Collector puts an answer together from its chunks. The message is complete: reasoning has its signature and its redacted bytes, tool uses have
// their ids, and text has its citations.
type Collector struct {
	answer Answer
	blocks map[int32]*parts
}

// NewCollector returns a Collector without chunks.
func NewCollector() *Collector {
	return &Collector{answer: Answer{Start: &outcropv1.Start{}, Finish: &outcropv1.Finish{}}, blocks: map[int32]*parts{}}
}

// Add adds the next chunk.
func (c *Collector) Add(chunk *outcropv1.Chunk) {
	if chunk.GetUnrecognized() != nil {
		c.answer.Unrecognized = append(c.answer.Unrecognized, chunk.GetUnrecognized())
	}
	block := c.blocks[chunk.GetContentBlockIndex()]
	if block == nil {
		block = &parts{}
		c.blocks[chunk.GetContentBlockIndex()] = block
	}
	switch event := chunk.GetEvent().(type) {
	case *outcropv1.Chunk_Start:
		c.answer.Start = event.Start
	case *outcropv1.Chunk_Finish:
		c.answer.Finish = event.Finish
	case *outcropv1.Chunk_Other:
		c.answer.Others = append(c.answer.Others, event.Other)
	default:
		block.add(chunk)
	}
}

// Answer returns the answer so far. It is complete after the chunk with the finish. Its message is that of the finish, if the request has
// IncludeMessage.
func (c *Collector) Answer() *Answer {
	answer := c.answer
	if answer.Message = answer.Finish.GetMessage(); answer.Message != nil {
		return &answer
	}
	answer.Message = &outcropv1.Message{Role: outcropv1.Role_ROLE_ASSISTANT}
	for _, index := range slices.Sorted(maps.Keys(c.blocks)) {
		answer.Message.Content = append(answer.Message.Content, c.blocks[index].blocks()...)
	}
	return &answer
}
