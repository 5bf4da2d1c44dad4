"""Methods of learning on, side by side: the same experiment under each, with several seeds; tables and pictures."""
