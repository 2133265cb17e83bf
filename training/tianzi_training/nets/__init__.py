"""Networks: nothing but nn.Module."""
