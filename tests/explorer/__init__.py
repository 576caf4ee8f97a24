"""The explorer: its arithmetic in Node and in the page, and its controls in Chromium."""
