//! Simulations of budgets.
