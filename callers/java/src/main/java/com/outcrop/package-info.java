/**
 * Calls Outcrop, a gRPC service in front of Amazon Bedrock.
 *
 * <p>{@link com.outcrop.OutcropClient} calls; {@link com.outcrop.AnswerStream} is the answer of one call, chunk by chunk; {@link com.outcrop.Answer} is a
 * whole answer, whose message can be sent back unchanged; {@link com.outcrop.OutcropException} says why a call failed; {@link com.outcrop.Conversation} is
 * one that the server stores. The messages are in {@code com.outcrop.v1}, generated from the proto files.
 */
package com.outcrop;
