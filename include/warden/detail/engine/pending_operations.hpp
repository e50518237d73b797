// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The operations whose handlers wait for something of a manager, by the execution context that the handlers run in:
/// when the context goes first, they are destroyed unrun, as those of Asio's own I/O objects are.
///
/// Knows:         services of Asio, which a context shuts down before it goes.
/// Does not know: handlers.
/// Thread-safety: safe.

#include <boost/asio/execution_context.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace warden::detail {

class PendingOperation {
public:
    virtual ~PendingOperation() = default;
    /// The context goes: destroys the handler, unless the operation has completed.
    virtual void drop() noexcept = 0;
};

/// Those of one context. Outlives it.
struct PendingOperations {
    std::mutex mutex;  ///< Held while a handler is posted, so that the context cannot go meanwhile.
    bool is_over = false;
    std::map<PendingOperation*, std::weak_ptr<PendingOperation>> all;

    /// Those of `context`. Throws what `use_service` throws.
    [[nodiscard]] static std::shared_ptr<PendingOperations> of(boost::asio::execution_context& context);

    void add(const std::shared_ptr<PendingOperation>& operation) {
        const std::lock_guard lock(mutex);
        all.emplace(operation.get(), operation);
    }
};

// -- implementation ----------------------------------------------------------

class PendingOperationsService : public boost::asio::detail::execution_context_service_base<PendingOperationsService> {
public:
    explicit PendingOperationsService(boost::asio::execution_context& context)
        : execution_context_service_base<PendingOperationsService>(context) {}

    const std::shared_ptr<PendingOperations> operations = std::make_shared<PendingOperations>();

private:
    void shutdown() override {
        std::map<PendingOperation*, std::weak_ptr<PendingOperation>> all;
        {
            const std::lock_guard lock(operations->mutex);
            operations->is_over = true;
            all.swap(operations->all);
        }
        for (const auto& entry : all) {
            if (const auto operation = entry.second.lock()) operation->drop();
        }
    }
};

inline std::shared_ptr<PendingOperations> PendingOperations::of(boost::asio::execution_context& context) {
    return boost::asio::use_service<PendingOperationsService>(context).operations;
}

}  // namespace warden::detail
