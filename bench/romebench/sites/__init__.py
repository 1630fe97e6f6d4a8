"""Several sites on one machine: the network between them, the clusters that span them, and clients at each site."""
