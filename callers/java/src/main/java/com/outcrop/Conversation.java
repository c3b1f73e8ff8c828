package com.outcrop;

import com.outcrop.v1.DeleteConversationRequest;
import com.outcrop.v1.Finish;
import com.outcrop.v1.GenerateRequest;
import com.outcrop.v1.GetConversationRequest;
import com.outcrop.v1.GetConversationResponse;
import com.outcrop.v1.Turn;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.OptionalInt;
import java.util.Queue;
import java.util.UUID;

/**
 * A conversation that the server stores. A request carries only the new messages.
 *
 * <p>Every request has a {@code turn_id}, so that no retry stores a turn twice. It has the revision that this object has seen, if any: if another
 * caller has added a turn, the call fails with {@link Reason#CONVERSATION_CHANGED}. One thread uses it at a time.
 */
public final class Conversation {
  private final OutcropClient client;
  private final String id;
  private Integer revision;

  Conversation(OutcropClient client, String id, Integer revision) {
    this.client = client;
    this.id = id;
    this.revision = revision;
  }

  /**
   * The id.
   *
   * @return the id, with which any caller of the same owner resumes it
   */
  public String id() {
    return id;
  }

  /**
   * The revision that was seen last.
   *
   * @return the revision, or nothing before one was seen
   */
  public OptionalInt revision() {
    return revision == null ? OptionalInt.empty() : OptionalInt.of(revision);
  }

  /**
   * Starts the next turn. It is stored if and only if the stream ends without an error.
   *
   * @param request the request
   * @return the answer; close it
   */
  public AnswerStream generate(GenerateRequest request) {
    return client.start(client.stub(), turn(request), this::finished);
  }

  /**
   * Starts the next turn. It is stored if and only if the stream ends without an error.
   *
   * @param request the request
   * @param timeout the deadline of the whole call with its retries
   * @return the answer; close it
   */
  public AnswerStream generate(GenerateRequest request, Duration timeout) {
    return client.start(client.within(timeout), turn(request), this::finished);
  }

  private GenerateRequest turn(GenerateRequest request) {
    GenerateRequest.Builder turn = request.toBuilder().setConversationId(id);
    if (request.getTurnId().isEmpty()) {
      turn.setTurnId(UUID.randomUUID().toString());
    }
    if (revision != null && !request.hasConversationRevision()) {
      turn.setConversationRevision(revision);
    }
    return turn.build();
  }

  private void finished(Finish finish) {
    if (finish.hasConversationRevision()) {
      revision = finish.getConversationRevision();
    }
  }

  /**
   * The stored turns, oldest first, page by page. The revision is then that of the server.
   *
   * @return an iterable that throws {@link OutcropException} if a call fails
   */
  public Iterable<Turn> turns() {
    return () ->
        new Iterator<>() {
          private final Queue<Turn> page = new ArrayDeque<>();
          private String token = "";
          private boolean isLast;

          @Override
          public boolean hasNext() {
            while (page.isEmpty() && !isLast) {
              var request = GetConversationRequest.newBuilder().setConversationId(id).setPageToken(token).build();
              GetConversationResponse response = client.call(stub -> stub.getConversation(request));
              page.addAll(response.getTurnsList());
              revision = response.getConversation().getRevision();
              token = response.getNextPageToken();
              isLast = token.isEmpty();
            }
            return !page.isEmpty();
          }

          @Override
          public Turn next() {
            if (!hasNext()) {
              throw new NoSuchElementException();
            }
            return page.remove();
          }
        };
  }

  /**
   * Deletes the conversation and its turns.
   *
   * @throws OutcropException if the call fails
   */
  public void delete() {
    client.call(stub -> stub.deleteConversation(DeleteConversationRequest.newBuilder().setConversationId(id).build()));
  }
}
