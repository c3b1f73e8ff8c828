package com.outcrop;

import com.google.protobuf.ByteString;
import com.outcrop.v1.Chunk;
import com.outcrop.v1.Citation;
import com.outcrop.v1.CitationGeneratedContent;
import com.outcrop.v1.CitationsContentBlock;
import com.outcrop.v1.ContentBlock;
import com.outcrop.v1.ImageBlock;
import com.outcrop.v1.ImageDelta;
import com.outcrop.v1.ReasoningContentBlock;
import com.outcrop.v1.ReasoningDelta;
import com.outcrop.v1.ReasoningTextBlock;
import com.outcrop.v1.ToolResultBlock;
import com.outcrop.v1.ToolResultBlockDelta;
import com.outcrop.v1.ToolResultContentBlock;
import com.outcrop.v1.ToolResultDelta;
import com.outcrop.v1.ToolUseBlock;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** The content of a block so far. Bedrock sends one kind of content in a block. If there are several, each becomes a block. */
final class Parts {
  private static final Pattern BLANK = Pattern.compile("\\s*", Pattern.UNICODE_CHARACTER_CLASS);

  private final StringBuilder text = new StringBuilder();
  private final StringBuilder reasoning = new StringBuilder();
  private final StringBuilder signature = new StringBuilder();
  private final StringBuilder toolInput = new StringBuilder();
  private final List<Citation> citations = new ArrayList<>();
  private ByteString redacted = ByteString.EMPTY;
  private boolean hasReasoning;
  private ToolUseBlock.Builder toolUse;
  private ToolResultBlock.Builder toolResult;
  private ImageBlock.Builder image;

  void add(Chunk chunk) {
    switch (chunk.getEventCase()) {
      case TEXT -> text.append(chunk.getText());
      case CITATION -> citations.add(chunk.getCitation());
      case REASONING -> addReasoning(chunk.getReasoning());
      case TOOL_USE_START -> {
        var start = chunk.getToolUseStart();
        toolUse = ToolUseBlock.newBuilder().setToolUseId(start.getToolUseId()).setName(start.getName()).setType(start.getType());
        toolInput.setLength(0);
      }
      case TOOL_USE_INPUT -> {
        toolUse = toolUse == null ? ToolUseBlock.newBuilder() : toolUse;
        toolInput.append(chunk.getToolUseInput());
      }
      case TOOL_RESULT_START -> {
        var start = chunk.getToolResultStart();
        toolResult = ToolResultBlock.newBuilder().setToolUseId(start.getToolUseId()).setStatus(start.getStatus()).setType(start.getType());
      }
      case TOOL_RESULT -> addToolResult(chunk.getToolResult());
      case IMAGE_START -> image().setFormat(chunk.getImageStart().getFormat());
      case IMAGE -> addImage(chunk.getImage());
      default -> {}
    }
  }

  private void addReasoning(ReasoningDelta delta) {
    switch (delta.getDeltaCase()) {
      case TEXT -> reasoning.append(delta.getText());
      case SIGNATURE -> signature.append(delta.getSignature());
      case REDACTED_CONTENT -> redacted = redacted.concat(delta.getRedactedContent());
      case DELTA_NOT_SET -> {}
    }
    hasReasoning |= delta.hasText() || delta.hasSignature();
  }

  private void addToolResult(ToolResultDelta result) {
    toolResult = toolResult == null ? ToolResultBlock.newBuilder() : toolResult;
    for (ToolResultBlockDelta delta : result.getContentList()) {
      ToolResultContentBlock.Builder content = ToolResultContentBlock.newBuilder();
      switch (delta.getDeltaCase()) {
        case TEXT -> toolResult.addContent(content.setText(delta.getText()));
        case JSON -> toolResult.addContent(content.setJson(delta.getJson()));
        case JSON_TEXT -> toolResult.addContent(content.setJsonText(delta.getJsonText()));
        case DELTA_NOT_SET -> {}
      }
    }
  }

  private ImageBlock.Builder image() {
    image = image == null ? ImageBlock.newBuilder() : image;
    return image;
  }

  private void addImage(ImageDelta delta) {
    if (delta.hasError()) {
      var error = image().getErrorBuilder();
      error.setMessage(error.getMessage() + delta.getError().getMessage());
    }
    var source = delta.getSource();
    if (source.hasBytes() && image().getSource().hasBytes()) {
      image().getSourceBuilder().setBytes(image().getSource().getBytes().concat(source.getBytes()));
    } else if (source.hasBytes() || source.hasS3Location()) {
      image().setSource(source);
    }
  }

  List<ContentBlock> blocks() {
    List<ContentBlock> blocks = new ArrayList<>();
    if (hasReasoning) {
      var whole = ReasoningTextBlock.newBuilder().setText(reasoning.toString()).setSignature(signature.toString());
      blocks.add(reasoning(ReasoningContentBlock.newBuilder().setReasoningText(whole)));
    }
    if (!redacted.isEmpty()) {
      blocks.add(reasoning(ReasoningContentBlock.newBuilder().setRedactedContent(redacted)));
    }
    if (!citations.isEmpty()) {
      var piece = CitationGeneratedContent.newBuilder().setText(text.toString());
      var cited = CitationsContentBlock.newBuilder().addContent(piece).addAllCitations(citations);
      blocks.add(ContentBlock.newBuilder().setCitationsContent(cited).build());
    } else if (!BLANK.matcher(text).matches()) { // Bedrock does not accept blank text.
      blocks.add(ContentBlock.newBuilder().setText(text.toString()).build());
    }
    if (toolUse != null) {
      ToolJson.setInput(toolUse, toolInput.toString());
      blocks.add(ContentBlock.newBuilder().setToolUse(toolUse).build());
    }
    if (toolResult != null) {
      blocks.add(ContentBlock.newBuilder().setToolResult(toolResult).build());
    }
    // Bedrock does not accept an image without a source, which has only an error.
    if (image != null && image.hasSource()) {
      blocks.add(ContentBlock.newBuilder().setImage(image).build());
    }
    return blocks;
  }

  private static ContentBlock reasoning(ReasoningContentBlock.Builder block) {
    return ContentBlock.newBuilder().setReasoningContent(block).build();
  }
}
