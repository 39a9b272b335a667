"""PySpark MLlib's implicit ALS on Gowalla at one dimension; settings chosen on the validation part."""
import json
import sys
import time

import numpy as np
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

import gowalla

directory, d, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
spark = SparkSession.builder.master(f"local[{threads}]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
train, valid, test = (gowalla.load(directory, name) for name in ("train", "valid", "test"))
fit = train - valid
fit.eliminate_zeros()


def frame(matrix):
    pairs = matrix.tocoo()
    rows = [(int(u), int(i), 1.0) for u, i in zip(pairs.row, pairs.col)]
    f = spark.createDataFrame(rows, "user int, item int, rating float").repartition(threads).cache()
    f.count()
    return f


def run(data, matrix, held, alpha, regularization, epochs):
    started = time.perf_counter()
    model = ALS(rank=d, maxIter=epochs, regParam=regularization, implicitPrefs=True, alpha=alpha, seed=1, userCol="user", itemCol="item", ratingCol="rating",
                numUserBlocks=threads, numItemBlocks=threads).fit(data)
    seconds = time.perf_counter() - started

    def factors(table, n):
        m = np.zeros((n, d), np.float32)
        for row in table.collect():
            m[row["id"]] = row["features"]
        return m

    users, items = factors(model.userFactors, gowalla.USERS), factors(model.itemFactors, gowalla.ITEMS)
    return seconds / epochs, gowalla.recall(users, items, matrix, held)


known = frame(fit)
best = max((run(known, fit, valid, *settings, 5)[1], *settings) for settings in ((30, 1.0), (100, 1.0), (100, 3.0)))
seconds, recall = run(frame(train), train, test, best[1], best[2], 10)
print(json.dumps({"dimension": d, "seconds_per_epoch": seconds, "recall": recall, "epochs": 10, "seconds_to_150": None, "settings": f"alpha {best[1]}, regParam {best[2]}"}))
