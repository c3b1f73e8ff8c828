package com.outcrop;

import com.google.protobuf.Struct;
import com.outcrop.v1.CitationGeneratedContent;
import com.outcrop.v1.ContentBlock;
import com.outcrop.v1.Finish;
import com.outcrop.v1.Message;
import com.outcrop.v1.OtherEvent;
import com.outcrop.v1.Start;
import com.outcrop.v1.ToolUseBlock;
import java.util.List;
import java.util.stream.Collectors;

/**
 * A complete answer.
 *
 * @param start the first chunk: id, model, region, attempts
 * @param message the message of the assistant. Send it back unchanged
 * @param finish the last chunk: stop reason, usage, trace
 * @param others events that the server does not know. The message does not contain them
 * @param unrecognized members that the server does not know, in order of arrival
 */
public record Answer(Start start, Message message, Finish finish, List<OtherEvent> others, List<Struct> unrecognized) {
  /**
   * The text of all blocks.
   *
   * @return the text, without reasoning
   */
  public String text() {
    return message.getContentList().stream().map(Answer::textOf).collect(Collectors.joining());
  }

  /**
   * The tool uses for the caller to execute.
   *
   * @return those that neither Bedrock nor the model executed
   */
  public List<ToolUseBlock> toolUses() {
    return message.getContentList().stream()
        .filter(ContentBlock::hasToolUse)
        .map(ContentBlock::getToolUse)
        .filter(use -> !use.getType().equals("server_tool_use"))
        .toList();
  }

  private static String textOf(ContentBlock block) {
    if (!block.hasCitationsContent()) {
      return block.getText();
    }
    List<CitationGeneratedContent> pieces = block.getCitationsContent().getContentList();
    return pieces.stream().map(CitationGeneratedContent::getText).collect(Collectors.joining());
  }
}
