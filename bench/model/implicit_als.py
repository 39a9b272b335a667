"""implicit's ALS on Gowalla: settings chosen on the validation part, then an epoch at a time on all of the training part."""
import json
import os
import statistics
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as implicit itself asks for
from implicit.als import AlternatingLeastSquares

import gowalla

directory, dimensions, threads = sys.argv[1], [int(d) for d in sys.argv[2].split(",")], int(sys.argv[3])
train, valid, test = (gowalla.load(directory, name) for name in ("train", "valid", "test"))
MEASURED = (2, 3, 4, 5, 8, 15)  # epochs: ranking in numpy takes longer than they do
fit = train - valid
fit.eliminate_zeros()


def run(matrix, held, d, alpha, regularization, epochs, each=False):
    model = AlternatingLeastSquares(factors=d, alpha=alpha, regularization=regularization * alpha, iterations=epochs, num_threads=threads, random_state=1)
    seconds, recalls, started = [], {}, [time.perf_counter()]

    def after(epoch, elapsed, *rest):
        seconds.append(time.perf_counter() - started[0])
        if each and len(seconds) in MEASURED:
            recalls[len(seconds)] = gowalla.recall(model.user_factors, model.item_factors, matrix, held)
        started[0] = time.perf_counter()

    model.fit(matrix, show_progress=False, callback=after)
    if not each:
        recalls[epochs] = gowalla.recall(model.user_factors, model.item_factors, matrix, held)
    return seconds, recalls


grid = [(alpha, regularization) for alpha in (30, 100, 300) for regularization in (1, 3, 10)]
tried = [(run(fit, valid, 64, *settings, 10)[1][10], settings) for settings in grid]
best = max(tried)[1]
for d in dimensions:
    seconds, recalls = run(train, test, d, *best, 15, each=True)
    reached = next((sum(seconds[:n]) for n, r in recalls.items() if r >= 0.15), None)
    top = max(recalls, key=recalls.get)
    print(json.dumps({"dimension": d, "seconds_per_epoch": statistics.median(seconds), "recall": recalls[top], "epochs": top,
                      "seconds_to_150": reached, "settings": f"alpha {best[0]}, regularization {best[1]}·alpha"}), flush=True)
