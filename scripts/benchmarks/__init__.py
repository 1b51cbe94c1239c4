"""What is measured is defended: `./scripts/bench NAME`. Each benchmark measures its own limit in the same run."""
