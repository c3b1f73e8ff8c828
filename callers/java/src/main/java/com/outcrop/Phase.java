package com.outcrop;

/** Whether content had arrived before a call failed. */
public enum Phase {
  /** No content had arrived. */
  BEFORE_CONTENT,
  /** What has arrived is not the complete answer. */
  AFTER_CONTENT
}
