//! Tests of conversations against engines that are slow, fail, or lose what they were told.
