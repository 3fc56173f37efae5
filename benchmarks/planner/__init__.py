"""How well the planner predicts, each figure by a script that takes its data's folder and a seed."""
