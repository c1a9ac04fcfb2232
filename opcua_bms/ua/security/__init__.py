"""Who may come in and what they may do: certificates, trust lists, users, roles."""
