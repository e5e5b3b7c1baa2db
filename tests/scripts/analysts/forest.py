from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

X, y = load_iris(return_X_y=True)
a, b, c, d = train_test_split(X, y, random_state=1, test_size=0.3)
forest = RandomForestClassifier(n_estimators=20, n_jobs=2, random_state=1).fit(a, c)
print("accuracy", round(forest.score(b, d), 3))
