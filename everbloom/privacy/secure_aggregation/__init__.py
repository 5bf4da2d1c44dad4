"""Secure aggregation: the server opens the sum of a cohort's vectors and nothing else.

Bonawitz et al. (CCS 2017, "Practical secure aggregation for privacy-preserving machine learning"), with double masking and the consistency check of
its actively secure form, on the random regular graph of Bell et al. (CCS 2020, "Secure single-server aggregation with (poly)logarithmic overhead").
Pure: bytes in, bytes out; no transport, no configuration. One aggregation has five stages:

| stage   | the server sends                     | the device checks, pins, and answers                                                          |
|---------|--------------------------------------|-----------------------------------------------------------------------------------------------|
| keys    | `Terms`                              | its policy; answers two ephemeral X25519 keys signed by its Ed25519 identity                  |
| shares  | the roster: everyone's signed keys   | every signature, the minimum; pins the roster; Shamir shares of its two secrets, sealed       |
| masked  | the shares sealed for it             | that they open; pins them and its vector; answers the masked vector                           |
| confirm | the survivors: who sent a vector     | the minimum, itself among them; pins the list; answers its signature of it                    |
| unmask  | everyone's signatures of that list   | a quorum signed the same list; of each neighbour, one share: seed if it survived, else key    |

A device's masked vector is y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv) mod 2^bits over its neighbours v that shared.

Threat model. Devices that follow the protocol are protected against a server and up to a bounded number of devices that tell it all they know:

- The directory of identities is pinned on the device. Whoever controls an identity in it counts as one device; it must not come from the server.
- A **curious** server, which follows the protocol, learns the sum over the survivors and no more, unless `threshold` many of one device's neighbours
  collude with it: on a complete graph as many as that of all devices, on a sparse one with the probability in `graph.failure`.
- An **active** server cannot forge keys; cannot lower minimum, threshold, quorum or degree below a device's policy; cannot have two lists of
  survivors acted on unless 2 quorum - members devices collude; and cannot have two vectors masked in one round. A device never reveals both secrets
  of a peer, even when asked in two processes at once. What the server can do: leave devices out, so that the sum is over `minimum` devices of its
  choice less those that collude; spoil a sum; and, on a sparse graph, cut it in two with the help of `degree / 8` colluding devices that stand close
  to each other, by luck (`Failure.cut`) or after it has tried many rosters. Among 10,000 devices at degree 64 it has the chance 2^-17 when 1%
  collude, 2^-9 when 2% do, and is certain at 10%: whoever expects an active server with such helpers takes the complete graph (`degree` at least
  members - 1), which nothing cuts.
- Of one round a device masks one vector, in one attempt: two sums over cohorts that differ by one device would open that device's vector.
- Not covered: what the sum itself tells (add noise for that), who took part, and devices that send wrong vectors or spoil a sum with wrong shares.
"""
