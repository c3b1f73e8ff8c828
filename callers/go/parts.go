package outcrop

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"outcrop.example/go/outcropv1"
)

// parts is the content of a block so far. Bedrock sends one kind of content in a block. If there are several, each becomes a block.
type parts struct {
	text, toolInput strings.Builder
	citations       []*outcropv1.Citation
	reasoning       *outcropv1.ReasoningTextBlock
	redacted        []byte
	toolUse         *outcropv1.ToolUseStart
	toolResult      *outcropv1.ToolResultBlock
	image           *outcropv1.ImageBlock
}

func orNew[T any](value **T) *T {
	if *value == nil {
		*value = new(T)
	}
	return *value
}

func (p *parts) add(chunk *outcropv1.Chunk) {
	switch event := chunk.GetEvent().(type) {
	case *outcropv1.Chunk_Text:
		p.text.WriteString(event.Text)
	case *outcropv1.Chunk_Citation:
		p.citations = append(p.citations, event.Citation)
	case *outcropv1.Chunk_Reasoning:
		p.addReasoning(event.Reasoning)
	case *outcropv1.Chunk_ToolUseStart:
		p.toolUse = event.ToolUseStart
		p.toolInput.Reset()
	case *outcropv1.Chunk_ToolUseInput:
		orNew(&p.toolUse)
		p.toolInput.WriteString(event.ToolUseInput)
	case *outcropv1.Chunk_ToolResultStart:
		start := event.ToolResultStart
		p.toolResult = &outcropv1.ToolResultBlock{ToolUseId: start.GetToolUseId(), Status: start.GetStatus(), Type: start.GetType()}
	case *outcropv1.Chunk_ToolResult:
		p.addToolResult(event.ToolResult)
	case *outcropv1.Chunk_ImageStart:
		orNew(&p.image).Format = event.ImageStart.GetFormat()
	case *outcropv1.Chunk_Image:
		p.addImage(event.Image)
	}
}

func (p *parts) addReasoning(reasoning *outcropv1.ReasoningDelta) {
	switch delta := reasoning.GetDelta().(type) {
	case *outcropv1.ReasoningDelta_Text:
		orNew(&p.reasoning).Text += delta.Text
	case *outcropv1.ReasoningDelta_Signature:
		orNew(&p.reasoning).Signature += delta.Signature
	case *outcropv1.ReasoningDelta_RedactedContent:
		p.redacted = append(p.redacted, delta.RedactedContent...)
	}
}

func (p *parts) addToolResult(result *outcropv1.ToolResultDelta) {
	block := orNew(&p.toolResult)
	for _, one := range result.GetContent() {
		content := &outcropv1.ToolResultContentBlock{}
		switch delta := one.GetDelta().(type) {
		case *outcropv1.ToolResultBlockDelta_Text:
			content.Block = &outcropv1.ToolResultContentBlock_Text{Text: delta.Text}
		case *outcropv1.ToolResultBlockDelta_Json:
			content.Block = &outcropv1.ToolResultContentBlock_Json{Json: delta.Json}
		case *outcropv1.ToolResultBlockDelta_JsonText:
			content.Block = &outcropv1.ToolResultContentBlock_JsonText{JsonText: delta.JsonText}
		default:
			continue
		}
		block.Content = append(block.Content, content)
	}
}

func (p *parts) addImage(delta *outcropv1.ImageDelta) {
	image := orNew(&p.image)
	if delta.GetError() != nil {
		orNew(&image.Error).Message += delta.GetError().GetMessage()
	}
	if delta.GetSource().GetSource() == nil {
		return
	}
	old, hasOld := image.GetSource().GetSource().(*outcropv1.ImageSource_Bytes)
	piece, isPiece := delta.GetSource().GetSource().(*outcropv1.ImageSource_Bytes)
	image.Source = delta.GetSource()
	if hasOld && isPiece {
		image.Source = &outcropv1.ImageSource{Source: &outcropv1.ImageSource_Bytes{Bytes: slices.Concat(old.Bytes, piece.Bytes)}}
	}
}

func (p *parts) blocks() []*outcropv1.ContentBlock {
	var blocks []*outcropv1.ContentBlock
	if p.reasoning != nil {
		text := &outcropv1.ReasoningContentBlock_ReasoningText{ReasoningText: p.reasoning}
		content := &outcropv1.ReasoningContentBlock{Block: text}
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_ReasoningContent{ReasoningContent: content}})
	}
	if len(p.redacted) > 0 {
		redacted := &outcropv1.ReasoningContentBlock_RedactedContent{RedactedContent: p.redacted}
		content := &outcropv1.ReasoningContentBlock{Block: redacted}
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_ReasoningContent{ReasoningContent: content}})
	}
	if text := p.text.String(); len(p.citations) > 0 {
		piece := &outcropv1.CitationGeneratedContent{Content: &outcropv1.CitationGeneratedContent_Text{Text: text}}
		cited := &outcropv1.CitationsContentBlock{Content: []*outcropv1.CitationGeneratedContent{piece}, Citations: p.citations}
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_CitationsContent{CitationsContent: cited}})
	} else if strings.TrimSpace(text) != "" { // Bedrock does not accept blank text.
		blocks = append(blocks, Text(text))
	}
	if p.toolUse != nil {
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_ToolUse{ToolUse: p.toolUseBlock()}})
	}
	if p.toolResult != nil {
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_ToolResult{ToolResult: p.toolResult}})
	}
	// Bedrock does not accept an image without a source, which has only an error.
	if p.image.GetSource() != nil {
		blocks = append(blocks, &outcropv1.ContentBlock{Block: &outcropv1.ContentBlock_Image{Image: p.image}})
	}
	return blocks
}

// toolUseBlock is a tool use with its complete input. Input that was truncated by max_tokens is not JSON and becomes a string.
func (p *parts) toolUseBlock() *outcropv1.ToolUseBlock {
	start, text := p.toolUse, p.toolInput.String()
	use := &outcropv1.ToolUseBlock{ToolUseId: start.GetToolUseId(), Name: start.GetName(), Type: start.GetType()}
	if text == "" {
		use.Input = structpb.NewStructValue(&structpb.Struct{})
	} else if value, keep := valueOf(text); keep {
		use.InputJson = text
	} else {
		use.Input = value
	}
	return use
}
