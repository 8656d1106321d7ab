"""The calls of engines that are not started here, made as they make them: CRI-O, newer BuildKit, people."""
