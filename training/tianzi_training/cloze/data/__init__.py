"""What the blank filler learns from: texts, the questions made from them, and questions of others."""
