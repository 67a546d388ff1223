// A pool of threads of its own: OpenMP's can hang in a child that was forked after a parallel region.
#pragma once

// Threads that work together, the caller's among them: `threads` of them, or one if the pool serves another thread of
// the caller's process, or no thread can be started.
class Team {
  public:
    explicit Team(int threads);
    ~Team();
    int count() const { return count_; }
    // Runs work(rank, data) for the ranks 0 to count - 1, rank 0 in the caller's thread.
    void run(void (*work)(int rank, void *data), void *data);

  private:
    Team(const Team &);
    int count_;
    struct Pool *pool;                     // of which this has the use, or null
};

// The place where `count` threads wait for each other.
class Barrier {
  public:
    explicit Barrier(int count);
    void wait();

  private:
    const int count;
    int waiting, generation;
};
