"""SimLAP: arbitrary pairs of classes as positives, in subspaces that learned gates open."""
