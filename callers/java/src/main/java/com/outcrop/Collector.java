package com.outcrop;

import com.google.protobuf.Struct;
import com.outcrop.v1.Chunk;
import com.outcrop.v1.Finish;
import com.outcrop.v1.Message;
import com.outcrop.v1.OtherEvent;
import com.outcrop.v1.Role;
import com.outcrop.v1.Start;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Puts an answer together from its chunks. Its message is that of {@code finish}, if the request has {@code include_message}; else it is put together
 * here: reasoning has its signature and its redacted bytes, tool uses have their ids, and text has its citations.
 */
public final class Collector {
  private final SortedMap<Integer, Parts> blocks = new TreeMap<>();
  private final List<OtherEvent> others = new ArrayList<>();
  private final List<Struct> unrecognized = new ArrayList<>();
  private Start start = Start.getDefaultInstance();
  private Finish finish = Finish.getDefaultInstance();

  /** Begins without a chunk. */
  public Collector() {}

  /**
   * Adds the next chunk.
   *
   * @param chunk the chunk
   */
  public void add(Chunk chunk) {
    if (chunk.hasUnrecognized()) {
      unrecognized.add(chunk.getUnrecognized());
    }
    switch (chunk.getEventCase()) {
      case START -> start = chunk.getStart();
      case FINISH -> finish = chunk.getFinish();
      case OTHER -> others.add(chunk.getOther());
      default -> blocks.computeIfAbsent(chunk.getContentBlockIndex(), index -> new Parts()).add(chunk);
    }
  }

  /**
   * The answer so far. It is complete after the chunk with {@code finish}.
   *
   * @return the answer
   */
  public Answer answer() {
    return new Answer(start, finish.hasMessage() ? finish.getMessage() : message(), finish, List.copyOf(others), List.copyOf(unrecognized));
  }

  private Message message() {
    Message.Builder message = Message.newBuilder().setRole(Role.ROLE_ASSISTANT);
    blocks.values().forEach(parts -> message.addAllContent(parts.blocks()));
    return message.build();
  }
}
