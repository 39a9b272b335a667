"""Measures shelf.json with pytrec_eval (pip install pytrec-eval-terrier==0.5.11) and prints expected.json."""
import json
import pathlib
import sys

import pytrec_eval

shelf = json.loads((pathlib.Path(__file__).parent / "shelf.json").read_text())
k = shelf["k"]
wanted, run = {}, {}
for user, (scores, seen, held) in enumerate(zip(shelf["scores"], shelf["seen"], shelf["held"])):
    if not held:
        continue
    wanted[str(user)] = {str(item): 1 for item in held}
    ranked = sorted((i for i in range(len(scores)) if i not in set(seen)), key=lambda i: -scores[i])[:k]
    run[str(user)] = {str(item): float(scores[item]) for item in ranked}
measures = {f"recall.{k}", f"ndcg_cut.{k}", f"P.{k}", f"success.{k}", "recip_rank"}
users = pytrec_eval.RelevanceEvaluator(wanted, measures).evaluate(run)
names = {f"recall_{k}", f"ndcg_cut_{k}", f"P_{k}", f"success_{k}", "recip_rank"}
mean = {name: sum(u[name] for u in users.values()) / len(users) for name in names}
mean[f"recip_rank_{k}"] = mean.pop("recip_rank")  # the run ends at k
mean["users"] = len(users)
json.dump(dict(sorted(mean.items())), sys.stdout, indent=2)
print()
