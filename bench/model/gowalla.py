"""Reads Gowalla's files and measures factors as millrace does: all items ranked, training items masked."""
import gzip

import numpy as np
import scipy.sparse as sp

USERS, ITEMS, K = 29858, 40981, 20


def load(directory, name):
    rows, columns = [], []
    with gzip.open(f"{directory}/gowalla/{name}.txt.gz", "rt") as lines:
        for line in lines:
            user, *items = line.split()
            rows += [int(user)] * len(items)
            columns += map(int, items)
    return sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(USERS, ITEMS))


def recall(users, items, train, test):
    total = asked = 0
    for start in range(0, USERS, 2000):
        scores = users[start:start + 2000] @ items.T
        for row in range(scores.shape[0]):
            wanted = test.indices[test.indptr[start + row]:test.indptr[start + row + 1]]
            if len(wanted) == 0:
                continue
            scores[row, train.indices[train.indptr[start + row]:train.indptr[start + row + 1]]] = -np.inf
            best = np.argpartition(-scores[row], K)[:K]
            total += np.isin(best, wanted).sum() / len(wanted)
            asked += 1
    return total / asked
