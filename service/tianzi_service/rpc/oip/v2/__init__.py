"""The Open Inference Protocol's messages and stubs, generated from the .proto files here."""
