class InsufficientFunds(Exception):
    """Raised when there is not enough."""


class Account:
    def __init__(self, owner, balance=0):
        self.owner, self._balance = owner, balance

    @property
    def balance(self):
        return self._balance

    def withdraw(self, amount):
        if amount > self._balance:
            raise InsufficientFunds(f"{self.owner} has only {self._balance}")
        self._balance -= amount

    def __repr__(self):
        return f"Account({self.owner!r}, {self._balance})"


account = Account("Grace", 50)
account.withdraw(20)
print(account)
account.withdraw(100)
