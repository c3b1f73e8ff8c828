package com.outcrop;

import com.outcrop.v1.Chunk;
import com.outcrop.v1.Finish;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The answer of one call, chunk by chunk. Use it with {@code try}: leaving a loop over it does not cancel the call, {@link #close} does.
 *
 * <p>One thread reads it; {@link #cancel} may be called by any.
 */
public final class AnswerStream implements Iterable<Chunk>, AutoCloseable {
  private final Context.CancellableContext context = Context.current().withCancellation();
  private final AtomicReference<Metadata> headers;
  private final Collector collector = new Collector();
  private final Consumer<Finish> onFinish;
  private Iterator<Chunk> call;
  private int next;
  private Finish finish;
  private boolean isEnded;
  private OutcropException failure;

  AnswerStream(Function<AtomicReference<Metadata>, Iterator<Chunk>> start, Consumer<Finish> onFinish) {
    this.headers = new AtomicReference<>();
    this.onFinish = onFinish;
    context.run(() -> call = start.apply(headers));
  }

  /**
   * All chunks, with heartbeats if the request or the server asks for them. The iteration ends only after the status OK.
   *
   * @return an iterator that throws {@link OutcropException} if the call fails
   */
  @Override
  public Iterator<Chunk> iterator() {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return AnswerStream.this.hasNext();
      }

      @Override
      public Chunk next() {
        return AnswerStream.this.next();
      }
    };
  }

  /**
   * The text as it arrives. {@link #answer} has the rest afterwards.
   *
   * @return an iterable that throws {@link OutcropException} if the call fails
   */
  public Iterable<String> text() {
    return () ->
        new Iterator<>() {
          private String text;

          @Override
          public boolean hasNext() {
            while (text == null && AnswerStream.this.hasNext()) {
              Chunk chunk = AnswerStream.this.next();
              text = chunk.hasText() ? chunk.getText() : null;
            }
            return text != null;
          }

          @Override
          public String next() {
            if (!hasNext()) {
              throw new NoSuchElementException();
            }
            String found = text;
            text = null;
            return found;
          }
        };
  }

  /**
   * Reads to the end and returns the whole answer, with what was read before.
   *
   * @return the answer
   * @throws OutcropException if the call fails. A part of an answer is not returned
   */
  public Answer answer() {
    while (hasNext()) {
      next();
    }
    return collector.answer();
  }

  /** Cancels the call; it also reaches Bedrock. Without effect after the end. */
  public void cancel() {
    context.cancel(null);
  }

  /** Cancels a call that has not ended. */
  @Override
  public void close() {
    cancel();
  }

  private boolean hasNext() {
    if (failure != null) {
      throw failure;
    }
    if (isEnded) {
      return false;
    }
    try {
      isEnded = !call.hasNext();
    } catch (StatusRuntimeException error) {
      throw failed(OutcropException.of(error, phase(), headers.get()));
    }
    if (isEnded) {
      if (finish == null) {
        throw failed(broken("the stream ended without a finish and without an error"));
      }
      onFinish.accept(finish);
      cancel();
    }
    return !isEnded;
  }

  private Chunk next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Chunk chunk = call.next();
    if (chunk.hasHeartbeat()) {
      return chunk;
    }
    if (finish != null) {
      throw failed(broken("a chunk arrived after the finish"));
    }
    if (chunk.getSequence() != next) {
      throw failed(broken("chunk " + chunk.getSequence() + " arrived, and " + next + " was expected"));
    }
    next += 1;
    collector.add(chunk);
    finish = chunk.hasFinish() ? chunk.getFinish() : null;
    return chunk;
  }

  /** Chunk 0 is {@code start}, which is sent with the first content. */
  private Phase phase() {
    return next > 0 ? Phase.AFTER_CONTENT : Phase.BEFORE_CONTENT;
  }

  private OutcropException broken(String message) {
    return OutcropException.brokenContract(message, phase());
  }

  private OutcropException failed(OutcropException error) {
    failure = error;
    cancel();
    return error;
  }
}
