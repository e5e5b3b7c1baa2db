import numpy as np
from scipy.signal import convolve2d

board = np.zeros((8, 8), int)
board[1, 2] = board[2, 3] = board[3, 1] = board[3, 2] = board[3, 3] = 1
kernel = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
for _ in range(8):
    neighbours = convolve2d(board, kernel, mode="same", boundary="wrap")
    board = ((neighbours == 3) | (board & (neighbours == 2))).astype(int)
for row in board:
    print("".join(".#"[cell] for cell in row))
