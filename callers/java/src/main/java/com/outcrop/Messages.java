package com.outcrop;

import com.outcrop.v1.ContentBlock;
import com.outcrop.v1.Message;
import com.outcrop.v1.Role;
import com.outcrop.v1.ToolResultBlock;
import com.outcrop.v1.ToolResultContentBlock;
import com.outcrop.v1.ToolUseBlock;
import java.util.Arrays;
import java.util.List;

/** The parts of a tool loop. JSON is text here, so that a program uses the library for JSON that it has. */
public final class Messages {
  private Messages() {}

  /**
   * A message of the user.
   *
   * @param text its text
   * @return the message
   */
  public static Message user(String text) {
    return user(ContentBlock.newBuilder().setText(text).build());
  }

  /**
   * A message of the user.
   *
   * @param content its content blocks
   * @return the message
   */
  public static Message user(ContentBlock... content) {
    return user(Arrays.asList(content));
  }

  /**
   * A message of the user.
   *
   * @param content its content blocks
   * @return the message
   */
  public static Message user(List<ContentBlock> content) {
    return Message.newBuilder().setRole(Role.ROLE_USER).addAllContent(content).build();
  }

  /**
   * The input of a tool use.
   *
   * @param use the tool use
   * @return JSON text, whose whole numbers are exact
   */
  public static String toolInput(ToolUseBlock use) {
    return use.getInputJson().isEmpty() ? ToolJson.text(use.getInput()) : use.getInputJson();
  }

  /**
   * The result of a tool use. Put all results of an answer into one message of the user.
   *
   * @param use the tool use
   * @param json the result as JSON text
   * @return a content block
   */
  public static ContentBlock toolResult(ToolUseBlock use, String json) {
    return result(use, "success", ToolResultContentBlock.newBuilder().setJsonText(json).build());
  }

  /**
   * The failure of a tool use.
   *
   * @param use the tool use
   * @param message what the model is told
   * @return a content block
   */
  public static ContentBlock toolError(ToolUseBlock use, String message) {
    return result(use, "error", ToolResultContentBlock.newBuilder().setText(message).build());
  }

  private static ContentBlock result(ToolUseBlock use, String status, ToolResultContentBlock content) {
    ToolResultBlock.Builder block = ToolResultBlock.newBuilder().setToolUseId(use.getToolUseId());
    return ContentBlock.newBuilder().setToolResult(block.setStatus(status).addContent(content)).build();
  }
}
