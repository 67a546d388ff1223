#include "threads.h"

#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace {

// Within its scope, threads are started that no signal interrupts: signals are for the threads of Python.
struct SignalsBlocked {
#if defined(__unix__) || defined(__APPLE__)
    sigset_t before;
    SignalsBlocked() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
#endif
};

}  // namespace

struct Pool {
    std::mutex in_use, mutex;
    std::condition_variable started, finished;
    std::vector<std::thread> workers;
    void (*work)(int, void *) = nullptr;
    void *data = nullptr;
    int count = 0, running = 0;
    unsigned long calls = 0;

    // What the thread of a rank does for ever: it waits for calls in which it takes part.
    void serve(int rank, unsigned long seen) {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            started.wait(lock, [&] { return calls != seen; });
            seen = calls;
            if (rank >= count) continue;
            auto run = work;
            void *argument = data;
            lock.unlock();
            run(rank, argument);
            lock.lock();
            if (--running == 0) finished.notify_one();
        }
    }

    // Starts threads until there are `threads` with the caller's; false if that fails.
    bool grow(int threads) {
        SignalsBlocked blocked;
        try {
            while ((int)workers.size() + 1 < threads) {
                const int rank = (int)workers.size() + 1;
                const unsigned long seen = calls;
                workers.emplace_back([this, rank, seen] { serve(rank, seen); });
            }
        } catch (const std::system_error &) {
            return false;
        } catch (const std::bad_alloc &) {
            return false;
        }
        return true;
    }
};

namespace {

// Never destroyed: its threads wait in it until the process ends. A forked child has none of them and begins anew.
Pool *shared = nullptr;
std::once_flag once;

void renew() { shared = new Pool; }

void create() {
    renew();
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, renew);
#endif
}

}  // namespace

Team::Team(int threads) : count_(1), pool(nullptr) {
    if (threads < 2) return;
    std::call_once(once, create);
    if (!shared->in_use.try_lock()) return;
    pool = shared;
    if (pool->grow(threads)) count_ = threads;
}

Team::~Team() {
    if (pool) pool->in_use.unlock();
}

void Team::run(void (*work)(int, void *), void *data) {
    if (count_ == 1) return work(0, data);
    {
        std::lock_guard<std::mutex> lock(pool->mutex);
        pool->work = work, pool->data = data, pool->count = count_, pool->running = count_ - 1;
        pool->calls++;
    }
    pool->started.notify_all();
    work(0, data);
    std::unique_lock<std::mutex> lock(pool->mutex);
    pool->finished.wait(lock, [&] { return pool->running == 0; });
}

Barrier::Barrier(int count) : count(count), waiting(0), generation(0) {}

void Barrier::wait() {
    if (count == 1) return;
    const int now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&waiting, 1, __ATOMIC_ACQ_REL) == count) {
        __atomic_store_n(&waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&generation, now + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&generation, __ATOMIC_ACQUIRE) == now; spins++)
        if (spins > 4000) std::this_thread::yield();
}
