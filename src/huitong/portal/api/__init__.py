"""The HTTP API under /api/v1: thin routes over the platform. Every answer that is not the wish is application/problem+json."""
