//! Recovery points, and what is brought back from them.
